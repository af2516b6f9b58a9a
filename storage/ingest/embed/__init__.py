"""Compute embeddings and build passages."""
