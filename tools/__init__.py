"""MCP tools, one module per tool.

`registry` registers them. Empty, because importing a submodule must stay light.
"""
