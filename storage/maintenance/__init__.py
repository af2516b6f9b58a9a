"""Check, repair, rebuild and back up stored data."""
