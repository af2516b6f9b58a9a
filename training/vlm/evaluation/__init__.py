"""Evaluation of the trained LLaVA and its model card."""
