"""Encode an image request and plan which retrievers run."""
