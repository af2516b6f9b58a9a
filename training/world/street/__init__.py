"""Scene family: streets."""
