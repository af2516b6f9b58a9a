"""Isolation of callers: who a call works for, caches and slots of each caller."""
