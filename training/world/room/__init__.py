"""Scene family: rooms."""
