"""A map of a collection as one HTML file."""
