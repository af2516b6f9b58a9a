"""Logs, metrics and garbage-collection tuning."""
