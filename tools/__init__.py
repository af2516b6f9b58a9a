"""MCP tools, one module per tool. `registry` registers them. Empty to stay light to import."""
