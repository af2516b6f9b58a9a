"""Evaluate retrieval: relevance judgments, metrics and report sections."""
