"""Isolation of callers: who a call works for, and the caches of each caller."""
