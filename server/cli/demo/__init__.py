"""The demo: an album, a server over it, and a tour of its tools by a real MCP client."""
