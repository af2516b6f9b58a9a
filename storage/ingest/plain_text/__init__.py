"""Decode text files, and find out how tables of text are written."""
