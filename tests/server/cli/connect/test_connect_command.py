"""``sightline connect`` writes the files of all clients on all platforms."""

from __future__ import annotations

import json
import os
import stat
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp import Client, StdioServerParameters

from sightline.server.cli import main
from sightline.server.cli.connect import connect_command
from sightline.server.cli.connect.client_catalog import (
    CLIENTS,
    ClientPlatform,
    HttpServer,
    StdioServer,
)

URL = "http://127.0.0.1:8765/mcp"
SECTIONS = {"vscode": "servers", "codex": "mcp_servers", "goose": "extensions"}
#: The file of each client below the home folder, by platform.
FILES = {
    "claude-desktop": {
        "linux": ".config/Claude/claude_desktop_config.json",
        "darwin": "Library/Application Support/Claude/claude_desktop_config.json",
        "win32": "AppData/Roaming/Claude/claude_desktop_config.json",
    },
    "claude-code": dict.fromkeys(("linux", "darwin", "win32"), ".claude.json"),
    "cursor": dict.fromkeys(("linux", "darwin", "win32"), ".cursor/mcp.json"),
    "vscode": {
        "linux": ".config/Code/User/mcp.json",
        "darwin": "Library/Application Support/Code/User/mcp.json",
        "win32": "AppData/Roaming/Code/User/mcp.json",
    },
    "codex": dict.fromkeys(("linux", "darwin", "win32"), ".codex/config.toml"),
    "gemini-cli": dict.fromkeys(("linux", "darwin", "win32"), ".gemini/settings.json"),
    "goose": {
        "linux": ".config/goose/config.yaml",
        "darwin": ".config/goose/config.yaml",
        "win32": "AppData/Roaming/Block/goose/config/config.yaml",
    },
}
#: An existing file of each format, with another server and comments where the format has them.
EXISTING = {
    "json": '{\n  "theme": "dark",\n  "SECTION": {"other": {"command": "x"}}\n}\n',
    "toml": '# my model\nmodel = "gpt"\n\n[SECTION.other]  # stays\ncommand = "x"\n',
    "yaml": (
        "# my provider\nGOOSE_PROVIDER: anthropic\nSECTION:\n  other:  # stays\n    cmd: 'x'\n"
        "    args:\n    - a\n"
    ),
}
PARSERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
ALL = pytest.mark.parametrize("client", list(CLIENTS))


def section(client: str) -> str:
    return SECTIONS.get(client, "mcpServers")


def file_format(path: Path | str) -> str:
    return str(path).rpartition(".")[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without clients, on Linux, without settings."""
    for name in list(os.environ):
        if name.startswith("SIGHTLINE_") or name in (
            *("XDG_CONFIG_HOME", "APPDATA", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "GOOSE_PATH_ROOT"),
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SIGHTLINE_CONFIG", "")  # restored after a test with --config
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.chdir(tmp_path)
    return home


def config_path(home: Path, client: str) -> Path:
    return home / FILES[client]["linux"]


def parsed(path: Path) -> Any:
    return PARSERS[file_format(path)](path.read_text("utf-8"))


def existing_file(home: Path, client: str) -> Path:
    path = config_path(home, client)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(EXISTING[file_format(path)].replace("SECTION", section(client)))
    return path


@ALL
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_each_client_has_its_file_on_each_platform(
    client: str, system: str, tmp_path: Path
) -> None:
    platform = ClientPlatform(system, tmp_path, {})
    assert CLIENTS[client].file(platform) == tmp_path / FILES[client][system]


@pytest.mark.parametrize(
    ("client", "system", "variable", "file"),
    [
        ("claude-desktop", "linux", "XDG_CONFIG_HOME", "Claude/claude_desktop_config.json"),
        ("claude-desktop", "win32", "APPDATA", "Claude/claude_desktop_config.json"),
        ("claude-code", "linux", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("vscode", "win32", "APPDATA", "Code/User/mcp.json"),
        ("codex", "darwin", "CODEX_HOME", "config.toml"),
        ("goose", "win32", "APPDATA", "Block/goose/config/config.yaml"),
        ("goose", "linux", "GOOSE_PATH_ROOT", "config/config.yaml"),
    ],
)
def test_variables_of_clients_move_their_files(
    client: str, system: str, variable: str, file: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    moved = ClientPlatform(system, tmp_path, {variable: str(other)})
    assert CLIENTS[client].file(moved) == other / file
    relative = ClientPlatform(system, tmp_path, {variable: "relative"})
    assert CLIENTS[client].file(relative) == tmp_path / FILES[client][system]


@ALL
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
@pytest.mark.parametrize(
    "server",
    [
        StdioServer('/opt/my "apps"/sightline', ("serve",), {"SIGHTLINE_DATA_DIR": "C:\\a b"}),
        HttpServer(URL),
        HttpServer(URL, token="se'cr\"et"),
    ],
    ids=["stdio", "http", "token"],
)
def test_each_entry_survives_its_format(
    client: str, system: str, server: StdioServer | HttpServer
) -> None:
    found = CLIENTS[client]
    platform = ClientPlatform(system, Path("/home/a"), {})
    entry = found.entry(server, "sightline", platform)
    text = found.document.render("sightline", entry)
    content = PARSERS[file_format(found.file(platform))](text)
    assert content == {section(client): {"sightline": entry}}
    flat = json.dumps(entry)
    if isinstance(server, HttpServer):
        assert URL in flat
        assert (json.dumps(server.token)[1:-1] in flat) == (server.token is not None)
    else:
        assert json.dumps(server.command)[1:-1] in flat
        assert "SIGHTLINE_DATA_DIR" in flat


@ALL
def test_a_server_is_added_once_and_removed_and_the_rest_stays(
    client: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = existing_file(home, client)
    before = path.read_text("utf-8")
    assert main(["connect", client]) == 0
    out = capsys.readouterr().out
    assert str(path) in out
    assert str(connect_command.executable()) in out
    content = parsed(path)
    entry = content[section(client)].pop("sightline")
    assert content == PARSERS[file_format(path)](before)
    assert connect_command.executable() in (entry.get("command"), entry.get("cmd"))
    assert entry["args"] == ["serve"]
    backup = path.with_name(path.name + ".sightline-backup")
    assert backup.read_text("utf-8") == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.read_text("utf-8")
    for line in before.splitlines():
        if "#" in line:
            assert line in written

    backup.unlink()
    assert main(["connect", client]) == 0
    assert "already has this server" in capsys.readouterr().out
    assert path.read_text("utf-8") == written
    assert not backup.exists()

    assert main(["connect", client, "--remove"]) == 0
    assert parsed(path) == PARSERS[file_format(path)](before)
    assert main(["connect", client, "--remove"]) == 0
    assert "has no server 'sightline'" in capsys.readouterr().out


@ALL
def test_a_missing_file_is_created_with_its_folders(client: str, home: Path) -> None:
    assert main(["connect", client, "--name", "my-images"]) == 0
    path = config_path(home, client)
    assert list(parsed(path)) == [section(client)]
    assert list(parsed(path)[section(client)]) == ["my-images"]
    assert list(path.parent.glob("*backup")) == []
    assert main(["connect", client, "--name", "my-images", "--remove"]) == 0
    assert parsed(path) == {section(client): {}}


@ALL
@pytest.mark.parametrize(
    "content", [b"{ not a config [", b"\xff\xfe", b"SECTION"], ids=["syntax", "bytes", "type"]
)
def test_a_malformed_file_is_refused_without_a_change(
    client: str, content: bytes, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config_path(home, client)
    path.parent.mkdir(parents=True, exist_ok=True)
    if content == b"SECTION":  # the servers are no table
        text = {"json": '{"%s": [1]}', "toml": "%s = [1]\n", "yaml": "%s: [1]\n"}
        content = (text[file_format(path)] % section(client)).encode()
    path.write_bytes(content)
    for arguments in ([], ["--remove"]):
        assert main(["connect", client, *arguments]) == 2
        error = capsys.readouterr().err
        assert str(path) in error
        assert "not changed" in error
        assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert main(["connect"]) == 0
    assert "unreadable" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["extensions: {a: {b: 1}}\n", "{extensions: {}}\n", "a: 1\n...\n", "extensions: ~\n"]
)
def test_a_form_that_cannot_be_edited_is_not_changed(
    text: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config_path(home, "goose")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert main(["connect", "goose"]) == 2
    assert "not supported" in capsys.readouterr().err
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        '[mcp_servers.a]\ncommand = "x" # x\n\n[tui]\nb = 1\n\n[mcp_servers.c]\ncommand = "y"\n',
        'mcp_servers.a.command = "x" # x\nmodel = "m"\n',
        'mcp_servers = {a = {command = "x"}} # x\nmodel = "m"\n',
        '[mcp_servers]\n\n[mcp_servers.a] # x\ncommand = "x"\n[mcp_servers.a.env]\nB = "1"\n',
    ],
)
def test_every_form_of_toml_tables_is_edited(text: str, home: Path) -> None:
    path = config_path(home, "codex")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert main(["connect", "codex"]) == 0
    assert "sightline" in parsed(path)["mcp_servers"]
    assert "# x" in path.read_text()
    assert main(["connect", "codex", "--remove"]) == 0
    assert parsed(path) == tomllib.loads(text)


@ALL
def test_the_printed_configuration_is_that_of_the_file(
    client: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", client, "--print"]) == 0
    shown = capsys.readouterr()
    assert str(config_path(home, client)) in shown.err
    assert not config_path(home, client).exists()
    assert main(["connect", client]) == 0
    path = config_path(home, client)
    assert PARSERS[file_format(path)](shown.out) == parsed(path)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("claude-code", {"headers": {"Authorization": "Bearer ${TOKEN}"}, "url": URL}),
        ("cursor", {"headers": {"Authorization": "Bearer ${env:TOKEN}"}, "url": URL}),
        ("vscode", {"headers": {"Authorization": "Bearer ${env:TOKEN}"}, "type": "http"}),
        ("codex", {"bearer_token_env_var": "TOKEN", "url": URL}),
        ("gemini-cli", {"headers": {"Authorization": "Bearer ${TOKEN}"}, "httpUrl": URL}),
        (
            "goose",
            {
                "headers": {"Authorization": "Bearer ${TOKEN}"},
                "uri": URL,
                "env_keys": ["TOKEN"],
                "type": "streamable_http",
            },
        ),
    ],
)
def test_a_client_reads_the_token_from_a_variable(
    client: str, expected: dict[str, Any], home: Path
) -> None:
    assert main(["connect", client, "--http", URL, "--token-env", "TOKEN"]) == 0
    entry = parsed(config_path(home, client))[section(client)]["sightline"]
    assert expected.items() <= entry.items()


@ALL
def test_a_token_is_written_and_not_shown(
    client: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in ("to'ken\"one", "token-two"):
        assert main(["connect", client, "--http", URL, "--token", token]) == 0
        shown = capsys.readouterr()
        assert "***" in shown.out
        assert "ken" not in shown.out.replace("token", "").replace("AUTH", "")
        entry = parsed(config_path(home, client))[section(client)]["sightline"]
        assert f"Bearer {token}" in str(entry).replace("\\'", "'")
    assert main(["connect", client, "--remove"]) == 0
    assert "token-two" not in capsys.readouterr().out


def test_settings_are_written_with_absolute_paths_and_without_secrets(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", "data")
    monkeypatch.setenv("SIGHTLINE_ALLOWED_ROOTS", os.pathsep.join(("pictures", "/scans")))
    monkeypatch.setenv("SIGHTLINE_VLM__API_KEY", "sk-hidden")
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", "postgresql://u:hidden@db/s")
    here = Path.cwd()
    assert main(["connect", "cursor"]) == 0
    shown = capsys.readouterr()
    assert "SIGHTLINE_DATABASE__URL, SIGHTLINE_VLM__API_KEY" in shown.err
    assert "--include-secrets" in shown.err
    entry = parsed(config_path(home, "cursor"))["mcpServers"]["sightline"]
    assert entry["env"] == {
        "SIGHTLINE_DATA_DIR": str(here / "data"),
        "SIGHTLINE_ALLOWED_ROOTS": os.pathsep.join((str(here / "pictures"), "/scans")),
    }
    assert main(["connect", "cursor", "--include-secrets"]) == 0
    shown = capsys.readouterr()
    assert "hidden" not in shown.out + shown.err
    entry = parsed(config_path(home, "cursor"))["mcpServers"]["sightline"]
    assert entry["env"]["SIGHTLINE_VLM__API_KEY"] == "sk-hidden"
    assert entry["env"]["SIGHTLINE_DATABASE__URL"] == "postgresql://u:hidden@db/s"


def test_a_connection_string_without_a_password_is_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", "postgresql://db/s")
    assert main(["connect", "cursor"]) == 0
    entry = parsed(config_path(home, "cursor"))["mcpServers"]["sightline"]
    assert entry["env"] == {"SIGHTLINE_DATABASE__URL": "postgresql://db/s"}


def test_a_named_configuration_file_is_passed_on(home: Path) -> None:
    Path("my.toml").write_text("")
    assert main(["connect", "cursor", "--config", "my.toml"]) == 0
    entry = parsed(config_path(home, "cursor"))["mcpServers"]["sightline"]
    assert entry["env"] == {"SIGHTLINE_CONFIG": str(Path("my.toml").absolute())}


def test_without_a_client_those_of_the_machine_are_listed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    program = tmp_path / "nothing" / "gemini"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    (home / ".codex").mkdir()
    assert main(["connect", "cursor"]) == 0
    capsys.readouterr()
    assert main(["connect"]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["client", "installed", "configured"],
        ["claude-desktop", "no", "no"],
        ["claude-code", "no", "no"],
        ["cursor", "yes", "yes"],
        ["vscode", "no", "no"],
        ["codex", "yes", "no"],
        ["gemini-cli", "yes", "no"],
        ["goose", "no", "no"],
    ]
    (home / ".codex" / "config.toml").write_text("[")
    assert main(["connect", "--json"]) == 0
    listed = {each["client"]: each for each in json.loads(capsys.readouterr().out)["clients"]}
    assert list(listed) == list(CLIENTS)
    assert listed["cursor"] == {
        "client": "cursor",
        "is_installed": True,
        "is_configured": True,
        "file": str(config_path(home, "cursor")),
    }
    assert listed["codex"]["is_configured"] is None


def test_what_was_changed_is_printed_as_json(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIGHTLINE_VLM__API_KEY", "hunter2")

    def run(*arguments: str) -> dict[str, Any]:
        assert main(["connect", "cursor", *arguments, "--json"]) == 0
        printed = capsys.readouterr()
        assert "hunter2" not in printed.out + printed.err
        return json.loads(printed.out)

    shown = {"client": "cursor", "file": str(config_path(home, "cursor"))}
    left_out = {"secrets_left_out": ["SIGHTLINE_VLM__API_KEY"]}
    assert run("--print")["entry"]["args"] == ["serve"]
    assert not config_path(home, "cursor").exists()
    assert run() == {**shown, "is_changed": True, **left_out}
    assert run() == {**shown, "is_changed": False, **left_out}
    assert run("--remove") == {**shown, "is_changed": True}
    assert run("--remove") == {**shown, "is_changed": False}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cursor", "--token", "x"], ["--http URL"]),
        (["cursor", "--http", "localhost:8765"], ["'localhost:8765'", "http://127.0.0.1"]),
        (["cursor", "--http", "http://a:b@c/mcp"], ["without a password"]),
        (["cursor", "--http", URL, "--token-env", "a b"], ["'a b'", "--token"]),
        (["cursor", "--name", "a b"], ["'a b'", "letters"]),
        (["claude-desktop", "--http", URL, "--token-env", "T"], ["--token instead"]),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", *arguments]) == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error
    assert list(home.iterdir()) == []


def test_an_unknown_client_gets_the_valid_ones(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["connect", "zed"])
    error = capsys.readouterr().err
    assert "zed" in error
    assert all(client in error for client in CLIENTS)


def test_a_bridge_connects_claude_desktop_over_http(home: Path) -> None:
    assert main(["connect", "claude-desktop", "--http", "http://host/mcp", "--token", "t0"]) == 0
    entry = parsed(config_path(home, "claude-desktop"))["mcpServers"]["sightline"]
    assert entry["args"] == [
        *("-y", "mcp-remote", "http://host/mcp", "--allow-http"),
        *("--header", "Authorization:${AUTH_HEADER}"),
    ]
    assert entry["env"] == {"AUTH_HEADER": "Bearer t0"}


async def test_the_configured_command_lists_the_tools_over_stdio(
    home: Path, database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", database_dsn)
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path / "data"))
    assert main(["connect", "claude-code", "--include-secrets"]) == 0
    entry = parsed(config_path(home, "claude-code"))["mcpServers"]["sightline"]
    server = StdioServerParameters(
        command=entry["command"], args=entry["args"], env=entry["env"], cwd=str(home)
    )
    async with Client(server) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
    assert {"search_images", "view_image", "add_images"} <= tools
