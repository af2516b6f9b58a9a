"""HTTP transport: ASGI app, graceful shutdown, event store and health routes."""
