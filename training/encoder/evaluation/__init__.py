"""Evaluation of the trained encoder and its model card."""
