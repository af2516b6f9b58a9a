"""Everything that runs a model. Empty: the server starts before it imports a model library."""
