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
