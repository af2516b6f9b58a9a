"""Models in the data folder."""
