"""Arithmetic of boxes."""
