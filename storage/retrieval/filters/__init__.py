"""Metadata filters: language, schema and compilation to SQL."""
