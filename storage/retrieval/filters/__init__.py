"""Restrict a search: filter language, columns, compilation to SQL, search scope."""
