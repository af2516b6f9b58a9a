"""The supported MCP clients: their configuration files and the form of an entry.

Locations and keys are those of the documentation of each client; docs/how-to/clients.md names the
pages.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sightline.server.cli.connect.config_documents import (
    ConfigDocument,
    JsonConfig,
    TomlConfig,
    YamlConfig,
)
from sightline.storage.errors import ConfigurationError

_DESCRIPTION = "Search images, documents and video"
# Models may still be loading at the first call, and add_images reads files.
_START_SECONDS = 30
_CALL_SECONDS = 300
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ClientPlatform:
    """The account of a client on ``darwin``, ``win32`` or ``linux``."""

    system: str
    home: Path
    environ: Mapping[str, str]

    @classmethod
    def current(cls) -> ClientPlatform:
        return cls(sys.platform, Path.home(), os.environ)

    def folder(self, variable: str, default: Path) -> Path:
        """Return the absolute path in a variable, or else the default."""
        path = Path(self.environ.get(variable, ""))
        return path if path.is_absolute() else default

    @property
    def xdg_config(self) -> Path:
        return self.folder("XDG_CONFIG_HOME", self.home / ".config")

    @property
    def app_data(self) -> Path:
        """Return the folder where desktop programs keep their configuration."""
        if self.system == "darwin":
            return self.home / "Library" / "Application Support"
        if self.system == "win32":
            return self.folder("APPDATA", self.home / "AppData" / "Roaming")
        return self.xdg_config


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A server that the client starts."""

    command: str
    args: Sequence[str]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A running server; ``token_variable`` names a variable with its token."""

    url: str
    token: str | None = field(default=None, repr=False)
    token_variable: str | None = None

    def authorization(self, reference: str) -> str | None:
        """Return the header; ``reference`` is how the client refers to a variable."""
        if self.token_variable is not None:
            return f"Bearer {reference.format(self.token_variable)}"
        return None if self.token is None else f"Bearer {self.token}"


ServerAddress = StdioServer | HttpServer


@dataclass(frozen=True, slots=True)
class McpClient:
    """A client.

    It counts as installed if one of its ``programs`` is on the path, or its folder exists.
    """

    id: str
    title: str
    document: ConfigDocument
    file: Callable[[ClientPlatform], Path]
    entry: Callable[[ServerAddress, str, ClientPlatform], dict[str, Any]]
    programs: tuple[str, ...]
    next_step: str

    def is_installed(self, platform: ClientPlatform) -> bool:
        path = self.file(platform)
        # The folder of a file in the home folder itself tells nothing.
        folder = path if path.parent == platform.home else path.parent
        search = platform.environ.get("PATH", "")
        return folder.exists() or any(shutil.which(each, path=search) for each in self.programs)


def _claude_desktop(server: ServerAddress, _: str, platform: ClientPlatform) -> dict[str, Any]:
    if isinstance(server, StdioServer):
        return _command(server)
    # The file can name commands only, so a bridge connects to the HTTP server.
    if server.token_variable is not None:
        raise ConfigurationError(
            "Claude Desktop does not pass on variables of your shell. Use --token instead of "
            "--token-env."
        )
    url = urlsplit(server.url)
    is_plain = url.scheme == "http" and url.hostname not in _LOOPBACK
    entry: dict[str, Any] = {
        "command": "npx.cmd" if platform.system == "win32" else "npx",
        "args": ["-y", "mcp-remote", server.url, *(["--allow-http"] if is_plain else [])],
    }
    if (header := server.authorization("")) is not None:
        # Not in the arguments: every user of the machine can list those.
        entry["args"] += ["--header", "Authorization:${AUTH_HEADER}"]
        entry["env"] = {"AUTH_HEADER": header}
    return entry


def _claude_code(server: ServerAddress, _: str, __: ClientPlatform) -> dict[str, Any]:
    if isinstance(server, StdioServer):
        return {"type": "stdio", **_command(server)}
    return {"type": "http", **_url(server, "url", "${{{}}}")}


def _cursor(server: ServerAddress, _: str, __: ClientPlatform) -> dict[str, Any]:
    if isinstance(server, StdioServer):
        return {"type": "stdio", **_command(server)}
    return _url(server, "url", "${{env:{}}}")


def _vscode(server: ServerAddress, _: str, __: ClientPlatform) -> dict[str, Any]:
    if isinstance(server, StdioServer):
        return {"type": "stdio", **_command(server)}
    return {"type": "http", **_url(server, "url", "${{env:{}}}")}


def _codex(server: ServerAddress, _: str, __: ClientPlatform) -> dict[str, Any]:
    timeouts = {"startup_timeout_sec": _START_SECONDS, "tool_timeout_sec": _CALL_SECONDS}
    if isinstance(server, StdioServer):
        return {**_command(server), **timeouts}
    if server.token_variable is not None:
        return {"url": server.url, "bearer_token_env_var": server.token_variable, **timeouts}
    headers = _url(server, "url", "").get("headers")
    return {"url": server.url, **({"http_headers": headers} if headers else {}), **timeouts}


def _gemini_cli(server: ServerAddress, _: str, __: ClientPlatform) -> dict[str, Any]:
    if isinstance(server, StdioServer):
        return _command(server)
    return _url(server, "httpUrl", "${{{}}}")


def _goose(server: ServerAddress, name: str, _: ClientPlatform) -> dict[str, Any]:
    common = {"enabled": True, "name": name, "description": _DESCRIPTION, "timeout": _CALL_SECONDS}
    if isinstance(server, StdioServer):
        return {
            "type": "stdio",
            **common,
            "cmd": server.command,
            "args": list(server.args),
            "envs": dict(server.env),
            "env_keys": [],
        }
    headers = _url(server, "uri", "${{{}}}").get("headers", {})
    keys = [server.token_variable] if server.token_variable else []
    return {
        "type": "streamable_http",
        **common,
        "uri": server.url,
        "headers": headers,
        "envs": {},
        "env_keys": keys,
    }


def _command(server: StdioServer) -> dict[str, Any]:
    env = {"env": dict(server.env)} if server.env else {}
    return {"command": server.command, "args": list(server.args), **env}


def _url(server: HttpServer, key: str, reference: str) -> dict[str, Any]:
    header = server.authorization(reference)
    return {key: server.url, **({"headers": {"Authorization": header}} if header else {})}


def _goose_file(platform: ClientPlatform) -> Path:
    if (root := platform.folder("GOOSE_PATH_ROOT", Path())).is_absolute():
        return root / "config" / "config.yaml"
    if platform.system == "win32":
        return platform.app_data / "Block" / "goose" / "config" / "config.yaml"
    return platform.xdg_config / "goose" / "config.yaml"


_RESTART = "Quit {} completely and start it again."
CLIENTS: Mapping[str, McpClient] = {
    client.id: client
    for client in (
        McpClient(
            "claude-desktop",
            "Claude Desktop",
            JsonConfig("mcpServers"),
            lambda platform: platform.app_data / "Claude" / "claude_desktop_config.json",
            _claude_desktop,
            (),
            _RESTART.format("Claude Desktop"),
        ),
        McpClient(
            "claude-code",
            "Claude Code",
            JsonConfig("mcpServers"),
            lambda platform: platform.folder("CLAUDE_CONFIG_DIR", platform.home) / ".claude.json",
            _claude_code,
            ("claude",),
            "Start a new session; /mcp shows the server.",
        ),
        McpClient(
            "cursor",
            "Cursor",
            JsonConfig("mcpServers"),
            lambda platform: platform.home / ".cursor" / "mcp.json",
            _cursor,
            ("cursor",),
            "Restart Cursor; its settings list the server under MCP.",
        ),
        McpClient(
            "vscode",
            "VS Code",
            JsonConfig("servers"),
            lambda platform: platform.app_data / "Code" / "User" / "mcp.json",
            _vscode,
            ("code",),
            "Run the command 'MCP: List Servers' and start the server.",
        ),
        McpClient(
            "codex",
            "Codex",
            TomlConfig("mcp_servers"),
            lambda platform: (
                platform.folder("CODEX_HOME", platform.home / ".codex") / "config.toml"
            ),
            _codex,
            ("codex",),
            "Start a new session; /mcp shows the server.",
        ),
        McpClient(
            "gemini-cli",
            "Gemini CLI",
            JsonConfig("mcpServers"),
            lambda platform: platform.home / ".gemini" / "settings.json",
            _gemini_cli,
            ("gemini",),
            "Start a new session; /mcp shows the server.",
        ),
        McpClient(
            "goose",
            "Goose",
            YamlConfig("extensions"),
            _goose_file,
            _goose,
            ("goose",),
            "Start a new session.",
        ),
    )
}
