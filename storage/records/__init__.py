"""Rows of assets, collections, annotations and embedding spaces."""
