"""The process: command line, settings, MCP application and transports, and the models."""
