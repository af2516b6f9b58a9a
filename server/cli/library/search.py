"""``sightline search`` and ``show``: print hits, or the properties of an asset."""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sightline.server.cli.cli_context import CalledTool, call_tool, call_tool_with_images
from sightline.server.config import Settings, absolute_path, load_settings
from sightline.server.observability import logs
from sightline.server.observability.terminal import (
    is_terminal,
    write_json,
    write_lines,
    write_table,
)
from sightline.server.observability.terminal_pictures import (
    Protocol,
    picture_protocol,
    write_picture,
)
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, shown

if TYPE_CHECKING:
    from sightline.storage.db.pool import Database
    from sightline.storage.records.assets import Asset

#: An address in which nothing can end a link or start another sequence.
_ADDRESS = re.compile(r"file:///[!-~]*")
_FILE = "file:"
_OPENED_TYPES: Final = ("image", "video", "audio", "pdf", "document", "text", "rows")


def configure_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "query", nargs="?", default="", help="what the image shows, or words in it or about it"
    )
    parser.add_argument("--collection", default="", help="search this collection only")
    parser.add_argument("--text", action="store_true", help="search passages instead of images")
    parser.add_argument(
        "--like", type=Path, metavar="FILE", help="search images that look like this one"
    )
    parser.add_argument(
        "--filter", metavar="JSON", help='metadata filter, such as \'{"product": "Garlic"}\''
    )
    parser.add_argument("--limit", type=int, default=10, help="maximum number of hits (default 10)")
    parser.add_argument(
        "--open", action="store_true", help="open the file of the first hit in its program"
    )
    parser.add_argument(
        "--pictures",
        action=argparse.BooleanOptionalAction,
        help="show the hits as pictures (default: if the terminal is kitty, Ghostty, iTerm2, "
        "WezTerm or mintty)",
    )
    parser.add_argument("--json", action="store_true", help="print the JSON result of the tool")


async def run_search(arguments: argparse.Namespace) -> int:
    """Print the hits; return 1 if there are none."""
    settings = load_settings()
    logs.configure(settings, is_command=True)
    if not arguments.query and arguments.like is None and arguments.filter is None:
        raise InvalidArgumentError("Give words to search for, --like FILE, or --filter.")
    if arguments.text and arguments.like is not None:
        raise InvalidArgumentError("--like searches images. Leave out --text.")
    protocol = _protocol(arguments)
    call: dict[str, Any] = {
        "query": arguments.query,
        "collection": arguments.collection,
        "filters": parse_filter(arguments.filter),
        "limit": arguments.limit,
    }
    if protocol is not None:
        call["contact_sheet"] = True
    needs_files = arguments.open or (is_terminal() and not arguments.json)
    async with AsyncExitStack() as stack:
        database: Database | None = None
        if needs_files:
            from sightline.server.database.provider import open_database

            # Before the call, which then uses the same Postgres.
            database = await stack.enter_async_context(open_database(settings))
        if arguments.like is None:
            tool = "search_text" if arguments.text else "search_images"
            reply = await call_tool_with_images(settings, tool, call)
        else:
            reply = await _search_like(settings, arguments.like, call)
        hits = reply.result["hits"]
        files = {} if database is None else await _files_of(database, hits)
    if arguments.json:
        write_json(reply.result)
    else:
        print_hits(reply.result, files)
        if protocol is not None and reply.images:
            write_picture(reply.images[0], protocol)
    if arguments.open and hits:
        _open(files.get(hits[0].get("asset", "")), hits[0]["source"])
    return 0 if hits else 1


def _protocol(arguments: argparse.Namespace) -> Protocol | None:
    """Return how pictures are shown, if they are.

    Raises ConfigurationError if they are wanted but cannot be shown.
    """
    if arguments.json or arguments.text or arguments.pictures is False:
        return None
    protocol = picture_protocol(os.environ)
    if protocol is None and arguments.pictures:
        raise ConfigurationError(
            "This terminal shows no pictures. Use kitty, Ghostty, iTerm2, WezTerm or mintty, not "
            "inside tmux or screen, or leave out --pictures."
        )
    return protocol


async def _search_like(settings: Settings, file: Path, call: dict[str, Any]) -> CalledTool:
    """Search by a picture: a running server gets its bytes if they are few enough."""
    from sightline.tools.shared.limits import Limits

    path, data = _read_small(file, Limits().max_upload_bytes)
    if data is not None:
        encoded = base64.b64encode(data).decode("ascii")
        call = {**call, "image": f"data:image/unknown;base64,{encoded}"}
        return await call_tool_with_images(settings, "search_images", call)
    own = settings.replace(allowed_roots=(path.parent,))
    call = {**call, "image": str(path)}
    return await call_tool_with_images(own, "search_images", call, asks_server=False)


def _read_small(file: Path, max_bytes: int) -> tuple[Path, bytes | None]:
    """Return the real path and the bytes; None if there are more.

    Raises ConfigurationError.
    """
    try:
        path = absolute_path(file).resolve(strict=True)
        if not path.is_file():
            raise ConfigurationError(f"--like {shown(str(file))} is no file.")
        return path, path.read_bytes() if path.stat().st_size <= max_bytes else None
    except OSError as error:
        raise ConfigurationError(f"--like {shown(str(file))}: {error.strerror}.") from error


async def _files_of(database: Database, hits: Sequence[Mapping[str, Any]]) -> dict[str, Path]:
    """Return the files of hits that are still there, by asset."""
    from sightline.storage.records import assets

    async with database.connection() as connection:
        found = await assets.find(connection, [hit["asset"] for hit in hits if "asset" in hit])
    return {id_: path for id_, each in found.items() if (path := _file_of(each)) is not None}


def _file_of(asset: Asset) -> Path | None:
    if not asset.location.startswith(_FILE):
        return None
    path = Path(asset.location.removeprefix(_FILE))
    return path if path.is_absolute() and path.is_file() else None


def _open(file: Path | None, source: str) -> None:
    """Open a file in the program that the system has for it.

    Raises ConfigurationError also for a name of another format: the system goes by the name, and
    the bytes of a picture can also be a program, such as a Java archive.
    """
    from sightline.storage.ingest.formats import file_type_of

    if file is None:
        raise ConfigurationError(
            f"{shown(source)} cannot be opened: its file is not on this machine any more, or was "
            "in an archive or uploaded."
        )
    if file_type_of(file.name) not in _OPENED_TYPES:
        raise ConfigurationError(
            f"{shown(str(file))} is not opened, because its name is that of no picture, video, "
            "sound or document. Open it yourself if you know what it is."
        )
    program = "open" if sys.platform == "darwin" else "xdg-open"
    try:
        subprocess.run([program, str(file)], check=True, stdin=subprocess.DEVNULL)  # noqa: S603
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no program {program} on this machine. The file is {shown(str(file))}."
        ) from None
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(
            f"{program} could not open {shown(str(file))} (exit code {error.returncode})."
        ) from error


def parse_filter(text: str | None) -> Any:
    """Return the filter of an option. Raises InvalidArgumentError unless it is JSON."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidArgumentError(f"--filter {text!r} is not JSON: {error}") from error


def print_hits(result: dict[str, Any], files: Mapping[str, Path] | None = None) -> None:
    """Print a table of hits; the sources are links to ``files`` by asset."""
    if not result["hits"]:
        write_lines("No hits.")
        _print_notes(result)
        return
    rows = []
    links = []
    for hit in result["hits"]:
        location = hit["source"] + (f" p. {hit['page']}" if "page" in hit else "")
        text = hit.get("caption") or hit.get("text", "")
        if isinstance(text, dict):
            text = text["text"]
        suffix = " (weak)" if hit.get("weak") else ""
        score = f"{hit['score']:.4f}{suffix}" if "score" in hit else ""  # a listing has none
        id_ = hit.get("passage") or hit["asset"]
        rows.append((str(hit["number"]), id_, score, location, text))
        links.append(_address((files or {}).get(hit.get("asset", ""))))
    columns = ("n", "id", "score", "source", "caption or text")
    write_table(columns, rows, links={"source": links})
    _print_notes(result)


def _address(file: Path | None) -> str:
    """Return the address of a file, without any character that a terminal interprets."""
    address = "" if file is None else file.as_uri()
    return address if _ADDRESS.fullmatch(address) else ""


def _print_notes(result: dict[str, Any]) -> None:
    write_lines(*(f"note: {note}" for note in result.get("notes", ())))


def configure_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("asset", help="asset id of a search result")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_show(arguments: argparse.Namespace) -> None:
    settings = load_settings()
    logs.configure(settings, is_command=True)
    # Without the image, whose file may be gone.
    view = {"asset": arguments.asset, "inline": False}
    result = await call_tool(settings, "view_image", view)
    asset: dict[str, Any] = result["asset"]
    if arguments.json:
        write_json(asset)
        return
    for key, value in asset.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        write_lines(f"{key + ':':<13} {text}")
    _print_notes(result)
