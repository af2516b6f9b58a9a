"""Originals of videos and sounds: ``/assets/{asset}/media`` and ``/media-link``.

``media-link`` needs the token, and checks all bytes of the file. The link that it returns is for a
player, which asks for ranges without a token; the file must still be in the state that was checked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from threading import Event
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sightline.server.app import App
from sightline.server.http.pictures.asset_routes import (
    HEADERS,
    BearerChallenge,
    error_response,
    matches_etag,
    reading_route,
)
from sightline.server.http.pictures.media_links import (
    LINK_PARAMETER,
    LINK_SECONDS,
    MediaLink,
    MediaLinks,
    state_digest,
)
from sightline.storage.blobs import FileState, OpenFile
from sightline.storage.errors import (
    DatabaseUnavailableError,
    InvalidArgumentError,
    MediaError,
    choices,
    shown,
)
from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.isolation.caller import current_caller
from sightline.storage.isolation.caller_cache import CallerCache
from sightline.storage.records import assets
from sightline.storage.records.source_text import StoredMedia, fetch_media
from sightline.tools.shared.dependencies import Dependencies, principal
from sightline.tools.shared.image_delivery import ASSETS_PATH

#: What browsers play, at least some of them. Nothing here can be a page with a script.
PLAYABLE_TYPES: Final = frozenset(
    f"{kind}/{name}"
    for kind, names in (
        ("video", "mp4 webm ogg quicktime matroska 3gpp 3gpp2 mpeg"),
        ("audio", "mpeg mp4 wav flac ogg aac matroska"),
    )
    for name in names.split()
)
_BLOCK_BYTES: Final = 256 * 1024
_MAX_CHECKS: Final = 2
_MAX_WAITING_CHECKS: Final = 16
_MAX_CHECKED_FILES: Final = 256
#: Of ``Range``; several ranges are answered with the whole file.
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

_Checked = tuple[str, bytes, FileState]


class _Media(NamedTuple):
    """The source of an asset: its name for errors, its file and its MIME type."""

    name: str
    file: StoredMedia
    mime_type: str


def add_media_routes(app: App, challenge: BearerChallenge | None, links: MediaLinks) -> None:
    """Add the routes to the app. ``challenge`` is None if the server has no tokens."""
    checks = _FileChecks()

    async def link(request: Request) -> Response:
        if request.query_params:
            raise InvalidArgumentError("A link to media has no parameters. Leave them out.")
        deps = _dependencies(app)
        asset = request.path_params["asset"]
        media = await _find(deps, asset)
        state = await checks.check(deps, media)
        body = {
            # Relative, because a proxy may serve the app below a path.
            "url": f"media?{LINK_PARAMETER}={links.create(asset, principal(), state)}",
            "media_type": media.mime_type,
            "bytes": state.size,
            "expires_in_seconds": LINK_SECONDS,
        }
        return JSONResponse(body, headers={**HEADERS, "Cache-Control": "no-store"})

    async def send(valid: MediaLink, request: Request) -> Response:
        for name in request.query_params:
            if name != LINK_PARAMETER:
                raise InvalidArgumentError(
                    f"Unknown parameter {shown(name)}. Available: {choices((LINK_PARAMETER,))}."
                )
        deps = _dependencies(app)
        media = await _find(deps, request.path_params["asset"])
        file = await asyncio.to_thread(deps.blobs.open, media.file.location, name=media.name)
        try:
            state = file.state()
            if state_digest(state) != valid.state_digest:
                raise MediaError("changed", f"{media.name} has changed. Get a new link.")
            return _answer(request, media, file, state)
        except BaseException:
            file.close()
            raise

    async def linked(request: Request) -> Response:
        valid = _link_of(request, links)
        user = request.scope.get("user")
        caller = user.username if user is not None and user.is_authenticated else None
        if valid is None or valid.caller != caller:
            message = (
                "The link has expired, or it is not yours for this asset. Get a new one from "
                f"{ASSETS_PATH}/ASSET/media-link."
            )
            return error_response(HTTPStatus.FORBIDDEN, message)
        return await reading_route(app, challenge, partial(send, valid))(request)

    app.custom_route(f"{ASSETS_PATH}/{{asset}}/media", methods=["GET"])(linked)
    app.custom_route(f"{ASSETS_PATH}/{{asset}}/media-link", methods=["GET"])(
        reading_route(app, challenge, link)
    )


class _FileChecks:
    """Compares files with their SHA-256, each state of a file once per caller."""

    def __init__(self) -> None:
        self._slots = FairSemaphore(
            _MAX_CHECKS, max_waiting=_MAX_WAITING_CHECKS, what="the check of a file"
        )
        self._checked: CallerCache[_Checked, bool] = CallerCache(_MAX_CHECKED_FILES)

    async def check(self, deps: Dependencies, media: _Media) -> FileState:
        """Return the state of the unchanged file. Raises MediaError."""
        location, sha256 = media.file.location, media.file.sha256
        async with self._slots.hold(current_caller()):
            opened = await asyncio.to_thread(deps.blobs.open, location, name=media.name)
            state = opened.state()
            opened.close()
            if self._checked.get((location, sha256, state)):
                return state
            stop = Event()
            try:
                state = await asyncio.to_thread(
                    deps.blobs.verify, location, sha256, name=media.name, stop=stop
                )
            finally:
                stop.set()
        self._checked.set((location, sha256, state), True)
        return state


class _MediaResponse(StreamingResponse):
    """Sends a part of a file, and closes the file also if the client has gone."""

    def __init__(
        self, file: OpenFile, state: FileState, part: range, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(self._blocks(part), status, headers)
        self._file = file
        self._state = state

    async def _blocks(self, part: range) -> AsyncIterator[bytes]:
        for offset in range(part.start, part.stop, _BLOCK_BYTES):
            size = min(_BLOCK_BYTES, part.stop - offset)
            # An error breaks the connection, so that a changed file never looks complete.
            yield await asyncio.to_thread(self._file.read, offset, size, self._state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def _answer(request: Request, media: _Media, file: OpenFile, state: FileState) -> Response:
    """Return the file, the requested range of it, or 304 or 416; RFC 9110."""
    etag = f'"{media.file.sha256.hex()[:32]}"'
    headers = {**HEADERS, "ETag": etag, "Accept-Ranges": "bytes", "Content-Type": media.mime_type}
    if matches_etag(request.headers.get("if-none-match"), etag):
        file.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    part, status = range(state.size), HTTPStatus.OK
    wanted = request.headers.get("range")
    if wanted is not None and request.method == "GET":
        # A date never matches, because there is no Last-Modified.
        found = _parse_range(wanted, state.size)
        if found is not None and request.headers.get("if-range", etag) == etag:
            part, status = found, HTTPStatus.PARTIAL_CONTENT
    if status is HTTPStatus.PARTIAL_CONTENT:
        if not part:
            file.close()
            message = f"The range {shown(wanted)} is outside of the {state.size} bytes."
            return error_response(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                message,
                {"Content-Range": f"bytes */{state.size}"},
            )
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{state.size}"
    headers["Content-Length"] = str(len(part))
    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers)
    return _MediaResponse(file, state, part, status, headers)


def _parse_range(text: str, size: int) -> range | None:
    """Return the bytes of one range; empty if it is outside, None to ignore it."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        return range(max(0, size - int(match[2])), size)
    start, stop = int(match[1]), int(match[2]) + 1 if match[2] else size
    if stop <= start and match[2]:
        return None
    return range(start, min(stop, size))


async def _find(deps: Dependencies, asset: str) -> _Media:
    """Return the source of an asset that the caller may see. Raises SightlineError."""
    async with deps.connection() as connection:
        record = await assets.fetch_one(connection, asset)
        media = await fetch_media(connection, record.source_id)
    if media is None:
        raise InvalidArgumentError(
            f"The asset {shown(asset)} is no frame of a video and no sound. Get its picture from "
            f"{ASSETS_PATH}/{record.id}."
        )
    if media.mime_type not in PLAYABLE_TYPES:
        raise InvalidArgumentError(
            f"Browsers do not play {shown(media.mime_type)}. Playable: {choices(PLAYABLE_TYPES)}."
        )
    return _Media(record.source, media, media.mime_type)


def _link_of(request: Request, links: MediaLinks) -> MediaLink | None:
    given = request.query_params.getlist(LINK_PARAMETER)
    return links.read(request.path_params["asset"], given[0]) if len(given) == 1 else None


def _dependencies(app: App) -> Dependencies:
    if app.tool_dependencies is None:
        raise DatabaseUnavailableError("The server is stopping. Try again in a minute.")
    return app.tool_dependencies
