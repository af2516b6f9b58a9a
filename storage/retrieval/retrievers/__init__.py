"""Retrievers: k-nearest neighbors and BM25, each with a confidence for its hits."""
