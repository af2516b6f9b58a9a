"""Retrieval evaluation: qrels, rankings per system, metrics and report sections."""
