"""Fit the confidence of a model to questions with known answers."""
