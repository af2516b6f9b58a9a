"""JSON-RPC messages and headers of a plain HTTP or stdio client."""

from __future__ import annotations

from typing import Any, Final

#: Streamable HTTP requires both types.
ACCEPT: Final = {"Accept": "application/json, text/event-stream"}
#: Opens a session of the protocol revision 2025-11-25.
INITIALIZE: Final[dict[str, Any]] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def calling(tool: str, **arguments: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Return headers and message of a call in the protocol revision 2026-07-28."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = {
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    return headers, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
