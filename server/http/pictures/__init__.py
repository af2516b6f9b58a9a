"""Pictures over HTTP, and the links to them in results."""
