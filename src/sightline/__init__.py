"""Sightline: multimodal retrieval for AI agents over MCP."""
