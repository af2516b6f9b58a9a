"""Pictures over HTTP: ``/assets/{asset}`` and ``/assets/{asset}/thumbnail``.

They have the token, scope, binding, limits, audit and metrics of a call, and need no session.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sightline.server.app import App
from sightline.server.config import redact_dsn
from sightline.server.config.package_version import package_version
from sightline.server.mcp_server.caller_link import CallStoppedError
from sightline.server.mcp_server.result_text import clean_text
from sightline.server.mcp_server.server import log_incident
from sightline.storage.errors import (
    DatabaseUnavailableError,
    InvalidArgumentError,
    MediaError,
    ModelError,
    NotAllowedError,
    SightlineError,
    StorageError,
    TooManyCallsError,
    UnknownNameError,
    choices,
    shown,
)
from sightline.storage.ingest.decode.render.overlays import BoxOverlay, Style
from sightline.storage.isolation.caller import message_for_caller
from sightline.storage.records import annotations as annotation_records
from sightline.storage.records import assets
from sightline.storage.types import Box
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.image_delivery import ASSETS_PATH
from sightline.tools.shared.image_loading import render_asset
from sightline.tools.shared.images import parse_corners
from sightline.tools.shared.overlay_uri import decode_overlays
from sightline.tools.view_image import MAX_DRAWN, MIN_EDGE_PIXELS

#: Name in metrics and in the audit log.
_CALL = "GET /assets"
_PARAMETERS = ("max_edge", "crop", "annotated", "boxes")
_BOOLEANS = {"true": True, "false": False}
_ETAG = re.compile(r'"[^"]*"')
_RETRY_SECONDS = 1
HEADERS = {
    # A picture is revalidated, because it can be deleted, and a binding can change.
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_STATUSES: Sequence[tuple[type[SightlineError], HTTPStatus]] = (
    (TooManyCallsError, HTTPStatus.TOO_MANY_REQUESTS),
    (NotAllowedError, HTTPStatus.FORBIDDEN),
    (UnknownNameError, HTTPStatus.NOT_FOUND),
    (InvalidArgumentError, HTTPStatus.BAD_REQUEST),
    (MediaError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (StorageError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ModelError, HTTPStatus.SERVICE_UNAVAILABLE),  # the decoder is busy
)


@dataclass(frozen=True, slots=True)
class BearerChallenge:
    """Writes the header ``WWW-Authenticate`` of a server with tokens."""

    scope_prefix: str = ""
    #: Of RFC 9728; None without an authorization server.
    metadata_url: str | None = None

    def header(self, error: str) -> str:
        fields = [f'error="{error}"']
        if error == "insufficient_scope":
            fields.append(f'scope="{self.scope_prefix}read"')
        if self.metadata_url is not None:
            fields.append(f'resource_metadata="{self.metadata_url}"')
        return f"Bearer {', '.join(fields)}"


@dataclass(frozen=True, slots=True)
class _Picture:
    """What a request wants. Everything in it changes the ETag."""

    thumbnail: bool = False
    max_edge: int = 0
    crop: Box | None = None
    annotated: bool = False
    overlays: Sequence[BoxOverlay] = ()
    style: Style = "box"


def add_asset_routes(app: App, challenge: BearerChallenge | None) -> None:
    """Add the routes to the app. ``challenge`` is None if the server has no tokens."""
    for path, thumbnail in (("{asset}", False), ("{asset}/thumbnail", True)):
        respond = partial(_respond, app, thumbnail=thumbnail)
        # Starlette adds HEAD: the same headers without the picture.
        app.custom_route(f"{ASSETS_PATH}/{path}", methods=["GET"])(
            reading_route(app, challenge, respond)
        )


def reading_route(
    app: App,
    challenge: BearerChallenge | None,
    respond: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler that runs ``respond`` as a call about the asset of the path.

    SightlineErrors of ``respond`` become JSON with a status. It ends when the client has gone.
    """

    async def handle(request: Request) -> Response:
        if challenge is not None and not request.user.is_authenticated:
            message = "Send the bearer token of the MCP connection in the header Authorization."
            headers = {"WWW-Authenticate": challenge.header("invalid_token")}
            return error_response(HTTPStatus.UNAUTHORIZED, message, headers)
        arguments = {**request.query_params, "asset": request.path_params["asset"]}
        try:
            async with app.reading(_CALL, arguments):
                return await respond(request)
        except SightlineError as error:
            return _refusal(error, challenge)
        except CallStoppedError as error:
            return error_response(HTTPStatus.GATEWAY_TIMEOUT, str(error))
        except Exception as error:  # noqa: BLE001 - logged with its traceback
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, log_incident(_CALL, error))

    return _until_disconnected(handle)


async def _respond(app: App, request: Request, *, thumbnail: bool) -> Response:
    """Return the picture, or 304 if the client has it. Raises SightlineError."""
    deps = app.tool_dependencies
    if deps is None:
        raise DatabaseUnavailableError("The server is stopping. Try again in a minute.")
    wanted = _parse(request, deps, thumbnail=thumbnail)
    asset_id = request.path_params["asset"]
    overlays = list(wanted.overlays)
    data = b""
    async with deps.connection() as connection:
        # Before anything else, because it checks that the caller may see the asset.
        record = await assets.fetch_one(connection, asset_id)
        if wanted.thumbnail:
            data = await assets.thumbnail(connection, asset_id)
        if wanted.annotated:
            saved = await annotation_records.list_newest(connection, [record.id], MAX_DRAWN)
            newest = saved[record.id].newest if record.id in saved else ()
            overlays += [BoxOverlay(each.box, each.label) for each in newest]
    etag = _etag(record.sha256, wanted, overlays)
    headers = {**HEADERS, "ETag": etag}
    if matches_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if not wanted.thumbnail:
        rendered = await render_asset(
            deps,
            record,
            max_edge=wanted.max_edge,
            crop=wanted.crop,
            overlays=overlays,
            style=wanted.style,
        )
        data = rendered.data
    return Response(data, headers=headers, media_type="image/jpeg")


def _parse(request: Request, deps: Dependencies, *, thumbnail: bool) -> _Picture:
    """Validate the query. Raises InvalidArgumentError."""
    query = request.query_params
    allowed = () if thumbnail else _PARAMETERS
    for name in query:
        if name not in allowed:
            hint = f"Available: {choices(allowed)}." if allowed else "A thumbnail has none."
            raise InvalidArgumentError(f"Unknown parameter {shown(name)}. {hint}")
        if len(query.getlist(name)) > 1:
            raise InvalidArgumentError(f"The parameter {name} occurs more than once. Give one.")
    if thumbnail:
        return _Picture(thumbnail=True)
    max_edge = largest = deps.limits.max_view_edge_pixels
    if (text := query.get("max_edge")) is not None:
        max_edge = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0
        if not MIN_EDGE_PIXELS <= max_edge <= largest:
            raise InvalidArgumentError(
                f"max_edge {shown(text)} is out of range. Use {MIN_EDGE_PIXELS} to {largest}."
            )
    crop = parse_corners(query["crop"].split(",")) if "crop" in query else None
    annotated = _BOOLEANS.get(text := query.get("annotated", "false"))
    if annotated is None:
        raise InvalidArgumentError(f"annotated is {shown(text)}. Use 'true' or 'false'.")
    overlays, style = decode_overlays(query["boxes"]) if "boxes" in query else ([], "box")
    return _Picture(False, max_edge, crop, annotated, overlays, style)


def _etag(sha256: bytes, wanted: _Picture, overlays: Sequence[BoxOverlay]) -> str:
    """Return the ETag of the asset as this version of the server draws it.

    It is weak: a page may be rendered from its document or, if that is gone, from its picture.
    """
    parts = (package_version(), sha256, wanted, [*overlays])
    return f'W/"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Return whether ``If-None-Match`` contains the ETag (weak comparison, RFC 9110)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in _ETAG.findall(if_none_match)


def _refusal(error: SightlineError, challenge: BearerChallenge | None) -> Response:
    status = next(
        (status for kind, status in _STATUSES if isinstance(error, kind)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    headers: dict[str, str] = {}
    if isinstance(error, TooManyCallsError):
        headers["Retry-After"] = str(error.seconds)
    elif status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(_RETRY_SECONDS)
    elif status is HTTPStatus.FORBIDDEN and challenge is not None:
        headers["WWW-Authenticate"] = challenge.header("insufficient_scope")
    return error_response(status, redact_dsn(message_for_caller(error)), headers)


def error_response(
    status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the error as JSON. ``message`` contains the next step."""
    return JSONResponse(
        {"error": clean_text(message)},
        status,
        {**HEADERS, "Cache-Control": "no-store", **(headers or {})},
    )


def _until_disconnected(
    handle: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Cancel the handler when its client has gone, so that nobody draws for nobody."""

    async def run(request: Request) -> Response:
        answering = asyncio.ensure_future(handle(request))
        leaving = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            answering.cancel()
            await asyncio.wait((answering, leaving))
        return Response() if answering.cancelled() else answering.result()

    return run


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
