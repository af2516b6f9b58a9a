"""Dual encoders for images and text (CLIP family)."""
