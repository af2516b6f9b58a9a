"""``sightline connect``: add the server to the configuration of an MCP client."""

from __future__ import annotations

import argparse
import difflib
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sightline.server.cli.connect.client_catalog import (
    CLIENTS,
    ClientPlatform,
    HttpServer,
    McpClient,
    ServerAddress,
    StdioServer,
)
from sightline.server.config import set_variables
from sightline.server.observability.terminal import (
    lines_on_stderr,
    write_json,
    write_lines,
    write_table,
)
from sightline.storage.errors import ConfigurationError, shown
from sightline.storage.files import SpecialFileError, write_private

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Of headers and variables whose values are not shown, unless they name a variable only.
_SECRET_KEY = re.compile(r"auth|key|password|secret|token|SIGHTLINE_\w*URL", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{[\w:]+\}")
_BACKUP_SUFFIX = ".sightline-backup"
_MAX_FILE_BYTES = 64 << 20


def configure_connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "client",
        nargs="?",
        choices=tuple(CLIENTS),
        metavar="CLIENT",
        help=f"{', '.join(CLIENTS)}; without it, list the clients of this machine",
    )
    parser.add_argument(
        "--http", metavar="URL", help="use a running server, such as http://127.0.0.1:8765/mcp"
    )
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token", help="with --http: bearer token, written into the file")
    token.add_argument(
        "--token-env", metavar="NAME", help="with --http: variable from which the client reads it"
    )
    parser.add_argument("--name", default="sightline", help="name of the server in the client")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--print", action="store_true", help="print the configuration only")
    action.add_argument("--remove", action="store_true", help="remove the server from the client")
    parser.add_argument(
        "--include-secrets",
        action="store_true",
        help="also write the SIGHTLINE_* variables that are secrets",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_connect(arguments: argparse.Namespace) -> None:
    """Change or print the configuration of a client, or list all clients."""
    with lines_on_stderr() if arguments.json else nullcontext():
        result = _run(arguments)
    if arguments.json:
        write_json(result)


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    if _NAME.fullmatch(arguments.name) is None:
        raise ConfigurationError(
            f"--name {shown(arguments.name)} is wrong. Use 1 to 64 letters, digits, '-' and '_'."
        )
    platform = ClientPlatform.current()
    if arguments.client is None:
        return {"clients": _list_clients(platform, arguments.name)}
    client = CLIENTS[arguments.client]
    result: dict[str, Any] = {"client": client.id, "file": str(client.file(platform))}
    if arguments.remove:
        return {**result, "is_changed": _remove(client, platform, arguments.name)}
    server, secrets, left_out = _server(arguments)
    entry = client.entry(server, arguments.name, platform)
    if arguments.print:
        write_lines(f"{client.title}: {client.file(platform)}", error=True)
        write_lines(*client.document.render(arguments.name, entry).split("\n"))
        result["entry"] = entry
    else:
        result["is_changed"] = _write(client, platform, arguments.name, entry, secrets)
    if left_out:
        write_lines(
            f"Secrets were left out: {', '.join(left_out)}. Write them into sightline.toml, or add "
            "--include-secrets.",
            error=True,
        )
    return {**result, "secrets_left_out": list(left_out)}


def executable() -> str:
    """Return the absolute path of ``sightline``. Raises ConfigurationError."""
    name = "sightline.exe" if sys.platform == "win32" else "sightline"
    path = Path(sys.executable).with_name(name)
    found = str(path) if path.exists() else shutil.which("sightline")
    if found is None:
        raise ConfigurationError(
            f"There is no command 'sightline' beside {sys.executable} or on the PATH. Install the "
            "package into this environment."
        )
    return str(Path(found).absolute())


def _server(
    arguments: argparse.Namespace,
) -> tuple[ServerAddress, frozenset[str], tuple[str, ...]]:
    """Return the server, its secret values, and the variables left out."""
    if arguments.http is None:
        if arguments.token or arguments.token_env:
            raise ConfigurationError("--token and --token-env need --http URL.")
        variables = set_variables()
        secret = variables.secret if arguments.include_secrets else {}
        server = StdioServer(executable(), ("serve",), {**variables.public, **secret})
        left_out = () if arguments.include_secrets else tuple(sorted(variables.secret))
        return server, frozenset(secret.values()), left_out
    url = urlsplit(arguments.http)
    if url.scheme not in ("http", "https") or not url.hostname or url.username or url.password:
        raise ConfigurationError(
            f"--http {shown(arguments.http)} is wrong. Give a URL without a password, such as "
            "http://127.0.0.1:8765/mcp."
        )
    if arguments.token_env is not None and _VARIABLE.fullmatch(arguments.token_env) is None:
        raise ConfigurationError(
            f"--token-env {shown(arguments.token_env)} is not the name of a variable. To give the "
            "token itself, use --token."
        )
    if arguments.token is not None and not arguments.token.isprintable():
        raise ConfigurationError("The token contains invalid characters.")
    secrets = frozenset([arguments.token] if arguments.token else [])
    return HttpServer(arguments.http, arguments.token, arguments.token_env), secrets, ()


def _list_clients(platform: ClientPlatform, name: str) -> list[dict[str, Any]]:
    rows, listed = [], []
    for client in CLIENTS.values():
        path = client.file(platform)
        configured: bool | None
        try:
            configured = client.document.entry(_read(path), name) is not None
            state = "yes" if configured else "no"
        except (ConfigurationError, ValueError):
            configured, state = None, "unreadable file"
        is_installed = client.is_installed(platform)
        rows.append((client.id, "yes" if is_installed else "no", state, str(path)))
        listed.append(
            {
                "client": client.id,
                "is_installed": is_installed,
                "is_configured": configured,
                "file": str(path),
            }
        )
    write_table(("client", "installed", "configured", "file"), rows)
    return listed


def _write(
    client: McpClient,
    platform: ClientPlatform,
    name: str,
    entry: dict[str, Any],
    secrets: Iterable[str],
) -> bool:
    """Add the server to the file of a client; return whether that changed it."""
    path = client.file(platform)
    with _explained(path):
        before = _read(path)
        old = client.document.entry(before, name)
        if old == entry:
            write_lines(f"{client.title} already has this server: {path}")
            return False
        after = client.document.with_entry(before, name, entry)
    _show_change(client, path, name, old, entry, secrets)
    _replace(path, before, after)
    write_lines(client.next_step)
    if not client.is_installed(platform):
        write_lines(f"{client.title} does not seem to be installed.", error=True)
    return True


def _remove(client: McpClient, platform: ClientPlatform, name: str) -> bool:
    """Remove the server from the file of a client; return whether that changed it."""
    path = client.file(platform)
    with _explained(path):
        before = _read(path)
        old = client.document.entry(before, name)
        after = client.document.without_entry(before, name)
    if old is None:
        write_lines(f"{client.title} has no server {name!r}: {path}")
        return False
    _show_change(client, path, name, old, None)
    _replace(path, before, after)
    write_lines(client.next_step)
    return True


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise ConfigurationError with the path for a malformed file."""
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is malformed: {error}. It was not changed. Correct it, or add the output of "
            "--print yourself."
        ) from error


def _read(path: Path) -> str:
    """Return the text of a configuration file, "" if it is missing."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is larger than {_MAX_FILE_BYTES:,} bytes.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not UTF-8 (byte {error.start:,}). It was not changed."
        ) from error


def _replace(path: Path, before: str, after: str) -> None:
    """Write a file atomically, and the text before beside it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if before:
            write_private(path.with_name(path.name + _BACKUP_SUFFIX), before)
        write_private(path, after)
    except (SpecialFileError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error


def _show_change(
    client: McpClient,
    path: Path,
    name: str,
    old: object,
    new: object,
    secrets: Iterable[str] = (),
) -> None:
    """Print the lines of the entry that change, without secrets.

    Other entries are not shown, because they may contain some.
    """

    def lines(entry: object) -> list[str]:
        if not isinstance(entry, Mapping):
            return []
        return client.document.render(name, _masked(entry, secrets)).splitlines()

    write_lines(f"{client.title}: {path}")
    changes = difflib.ndiff(lines(old), lines(new))
    write_lines(*(line for line in changes if not line.startswith("?")))


def _masked(entry: Mapping[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """Hide the values of headers and secret variables."""
    masked: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            masked[key] = _masked(value, secrets)
        elif isinstance(value, str) and (
            any(secret in value for secret in secrets)
            or (
                _SECRET_KEY.search(key)
                and not key.endswith("_env_var")
                and not _REFERENCE.search(value)
            )
        ):
            masked[key] = "***"
        else:
            masked[key] = value
    return masked
