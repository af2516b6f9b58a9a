"""Load the records that a search result shows."""
