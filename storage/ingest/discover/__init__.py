"""Find input files and the metadata beside them."""
