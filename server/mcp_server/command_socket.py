"""Lets a command in a terminal use a running server of the same data folder.

Each server listens on a socket of its own in ``<data folder>/run``, which only the account of the
server can enter. One connection is one call of a tool, by the operator of the server::

    -> {"server": {...}, "tool": "search_images", "arguments": {"query": "a van"}}
    <- {"accepted": true}
    <- {"result": {...}, "images": ["base64"]} or {"error": "message of the tool"}

Without ``tool``, the reply is the address of its web app::

    <- {"page_url": "http://127.0.0.1:8765/"} or {"page_url": null}

``server`` must be equal to that of the server: it has the version and a digest of the settings. So
the result is the same as without a server. Imports nothing heavy: a command asks before it loads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from sightline.server.config import Settings
from sightline.server.config.package_version import package_version
from sightline.server.models.model_files import local_folder

SUFFIX = ".sock"
#: A socket path has at most 108 bytes on Linux and 104 on macOS, with the final NUL.
MAX_PATH_BYTES = 103
_ACCEPT_SECONDS = 2.0
#: A call ends by itself after its time limit.
_REPLY_MARGIN_SECONDS = 10.0
#: Settings on which no result of a search or of `view_image` depends.
_WITHOUT_EFFECT = {
    *("http", "log", "judge", "rate_limit", "startup_timeout_seconds"),
    *("allowed_roots", "urls", "analytics", "auth"),
}


class CommandReply(NamedTuple):
    """The result of a tool as JSON with its images, or the message of its error."""

    result: dict[str, Any] | None
    error: str
    images: tuple[bytes, ...] = ()


def command_folder(settings: Settings) -> Path:
    """Return the folder of the sockets."""
    return settings.data_dir / "run"


def is_private(folder: Path) -> bool:
    """Return whether a path is a folder that only this account and root enter."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_ours = status.st_uid == os.geteuid() and not status.st_mode & 0o077
    return stat.S_ISDIR(status.st_mode) and is_ours


def server_identity(settings: Settings) -> dict[str, str]:
    """Return what two processes with the same results have in common."""
    values = settings.model_dump(exclude=_WITHOUT_EFFECT)
    values["signing_key"] = settings.auth.signing_key
    # A relative path is another folder where the working folder is another.
    models = (settings.encoder.model, settings.encoder.passage_model, settings.reranker.model)
    values["folders"] = [local_folder(name) for name in models]
    if settings.database.url is not None:
        # libpq takes from its variables what the URL leaves open, such as host and user.
        values["libpq"] = {name: text for name, text in os.environ.items() if name[:2] == "PG"}
    text = json.dumps(values, sort_keys=True, default=_plain)
    return {
        "version": package_version(),
        "package": str(Path(__file__).parent),
        "settings": hashlib.sha256(text.encode()).hexdigest(),
    }


def _plain(value: object) -> str:
    reveal = getattr(value, "get_secret_value", None)
    return str(value) if reveal is None else str(reveal())


def ask_running_server(
    settings: Settings,
    tool: str,
    arguments: dict[str, Any],
    *,
    accept_seconds: float = _ACCEPT_SECONDS,
) -> CommandReply | None:
    """Call a tool of a running server; None if there is no server that can answer."""
    request = {"tool": tool, "arguments": arguments}
    reply_seconds = settings.limits.call_timeout_seconds + _REPLY_MARGIN_SECONDS
    for reply in _replies(settings, request, accept_seconds, reply_seconds):
        with suppress(ValueError):
            return _command_reply(reply)
    return None


def running_page_url(settings: Settings) -> str | None:
    """Return the address of the web app of a running server, or None."""
    for reply in _replies(settings, {}, _ACCEPT_SECONDS, _ACCEPT_SECONDS):
        url = reply.get("page_url")
        if isinstance(url, str):
            return url
    return None


def _replies(
    settings: Settings, request: Mapping[str, Any], accept_seconds: float, reply_seconds: float
) -> Iterator[Mapping[str, Any]]:
    """Ask each running server of the same settings, and yield what it replies."""
    folder = command_folder(settings)
    if not is_private(folder):
        return
    line = json.dumps({"server": server_identity(settings), **request}).encode() + b"\n"
    for path in _sockets(folder):
        try:
            reply = _ask(path, line, accept_seconds, reply_seconds)
        except (OSError, ValueError):  # the server is ending, or its socket was left behind
            continue
        if reply is not None:
            yield reply


def _sockets(folder: Path) -> Iterator[Path]:
    """Yield the sockets of this account, the newest first."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            status = path.lstat()
        except OSError:
            continue
        if stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid():
            found.append((status.st_mtime, path))
    yield from (path for _, path in sorted(found, reverse=True))


def _ask(
    path: Path, line: bytes, accept_seconds: float, reply_seconds: float
) -> Mapping[str, Any] | None:
    """Send a request; return None if the server refuses it.

    Raises OSError and ValueError if there is no valid reply.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(accept_seconds)
        connection.connect(str(path))
        connection.sendall(line)
        with connection.makefile("rb") as replies:
            if _read(replies).get("accepted") is not True:
                return None
            connection.settimeout(reply_seconds)
            return _read(replies)


def _command_reply(reply: Mapping[str, Any]) -> CommandReply:
    result = reply.get("result")
    images = tuple(base64.b64decode(each, validate=True) for each in reply.get("images", ()))
    is_result = isinstance(result, dict)
    return CommandReply(result if is_result else None, str(reply.get("error", "")), images)


def _read(replies: BufferedReader) -> Mapping[str, Any]:
    value = json.loads(replies.readline())
    if not isinstance(value, dict):
        raise ValueError("a reply is no object")
    return value
