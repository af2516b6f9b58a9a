"""MCP server with strict arguments, rate limits and an audit log."""
