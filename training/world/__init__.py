"""Synthetic images with exact ground truth for demo, training and tests."""
