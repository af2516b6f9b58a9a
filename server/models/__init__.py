"""Models. Empty: the server starts before it imports a model library."""
