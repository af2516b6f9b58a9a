"""MCP App: the web app as a resource, shown in a chat beside a result."""

from __future__ import annotations

from mcp.server.apps import APP_MIME_TYPE, Apps
from mcp.server.mcpserver.resources import FunctionResource

from sightline.server.web.web_pages import chat_page
from sightline.tools.registry import CHAT_APP_URI


def chat_app() -> Apps:
    """Return the extension. The page is built when a host first reads it."""
    apps = Apps()
    apps.add_resource(
        FunctionResource(
            uri=CHAT_APP_URI,
            name="app",
            title="Sightline",
            description="Shows search results, pictures, boxes and answers in the chat.",
            mime_type=APP_MIME_TYPE,
            fn=chat_page,
        )
    )
    return apps
