"""Processes that serve vision-language models."""
