"""Tell the tools the address of the server, and whether to send images."""

from __future__ import annotations

from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.server.config import Settings
from sightline.server.config.hosts import MCP_PATH
from sightline.storage.errors import choices
from sightline.tools.shared.image_delivery import IMAGE_MODES, ImageMode, deliver_images

_PARAMETER = "images"
_MODES: dict[str, ImageMode] = {mode: mode for mode in IMAGE_MODES}


class ImageLinks:
    """ASGI middleware that reads ``/mcp?images=link``; 400 for another value.

    It must run inside of `guard_requests`, which refuses unknown hosts: links repeat the header
    Host, unless ``http.public_url`` is set.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        public_url = settings.http.public_url
        # With a path, the URL is that of the MCP endpoint itself.
        self._public_url = None if public_url is None else public_url.removesuffix(MCP_PATH)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != MCP_PATH:
            await self._app(scope, receive, send)
            return
        chosen = QueryParams(scope["query_string"]).getlist(_PARAMETER)
        if len(chosen) > 1 or any(value not in _MODES for value in chosen):
            text = f"images is not one of {choices(IMAGE_MODES)}; use {MCP_PATH}?images=link\n"
            await PlainTextResponse(text, 400)(scope, receive, send)
            return
        mode = _MODES[chosen[0]] if chosen else None
        base_url = self._public_url or f"{scope['scheme']}://{Headers(scope=scope)['host']}"
        with deliver_images(base_url, mode):
            await self._app(scope, receive, send)
