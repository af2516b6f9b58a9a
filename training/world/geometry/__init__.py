"""Scene family: geometry problems."""
