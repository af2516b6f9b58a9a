"""Open pictures of all formats, and turn them into upright RGB."""
