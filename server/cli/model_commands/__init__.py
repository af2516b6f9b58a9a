"""``sightline models``: list, download, convert and remove models."""
