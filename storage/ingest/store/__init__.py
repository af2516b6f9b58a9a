"""Deduplicate items and write them to the database."""
