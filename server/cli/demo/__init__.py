"""Demo: synthetic images, a server, and a tour of all tools."""
