"""Metadata in files and beside them: description, keywords, people, place, time."""
