"""Settings: sources, types and validation."""
