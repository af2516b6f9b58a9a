"""``sightline connect``: write the configuration files of MCP clients."""
