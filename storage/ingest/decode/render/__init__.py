"""Cuts, reduces, marks and encodes images, in worker processes."""
