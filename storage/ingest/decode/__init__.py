"""Decode files in isolated worker processes."""
