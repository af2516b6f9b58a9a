"""The Sightline process: commands, MCP server, transports and models."""
