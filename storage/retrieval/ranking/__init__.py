"""Fusion, reranking and diversification of retrieved hits."""
