"""The wheel, the MCP bundle, the registry entry and the skill as `make package` builds them."""

from __future__ import annotations

import base64
import email
import email.message
import hashlib
import json
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from mcp.server.mcpserver import MCPServer

from sightline.tools.registry import register_all

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
FOLDERS = ("client", "migrations", "server", "storage", "tools", "training")
#: Neither code nor data of the packages.
_NOT_INSTALLED = re.compile(r"README\.md|\.gitkeep")


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def bundle(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built / f"sightline-{VERSION}.mcpb")


def _metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = (each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_has_each_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *FOLDERS], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    tracked = {
        f"sightline/{path}"
        for path in listed.stdout.decode().split("\0")
        if path
        and (ROOT / path).is_file()
        and not _NOT_INSTALLED.fullmatch(Path(path).name)
        and not path.startswith("server/web/app/")  # its bundle is installed
    }
    assert len(tracked) > 400
    assert tracked - set(wheel.namelist()) == set()


def test_the_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    roots = {name.split("/")[0] for name in wheel.namelist()}
    assert roots == {"sightline", f"sightline_mcp-{VERSION}.dist-info"}
    folders = {name.split("/")[1] for name in wheel.namelist() if name.startswith("sightline/")}
    assert folders == {*FOLDERS, "__init__.py", "py.typed"}


def test_a_warning_of_the_build_is_an_error(
    build_packages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data in a folder that is no package, which setuptools reports as a warning only."""
    tree = tmp_path / "tree"
    package = tree / "src" / "sightline"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").touch()
    tree.joinpath("pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "sightline"\nversion = "1"\n'
        '[tool.setuptools.packages.find]\nwhere = ["src"]\nnamespaces = false\n'
        '[tool.setuptools.package-data]\nsightline = ["data/*"]\n'
    )
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "tree")):
        subprocess.run([*git, *arguments], cwd=tree, check=True)
    monkeypatch.setattr(build_packages, "ROOT", tree)
    wheel = build_packages.build_wheel(tmp_path)
    assert wheel.name == "sightline-1-py3-none-any.whl"
    wheel.unlink()
    package.joinpath("data").mkdir()
    package.joinpath("data", "table.txt").touch()
    with pytest.raises(subprocess.CalledProcessError):
        build_packages.build_wheel(tmp_path)


def test_all_versions_are_that_of_the_project(
    built: Path, wheel: zipfile.ZipFile, bundle: zipfile.ZipFile
) -> None:
    entry = json.loads((built / "server.json").read_text(encoding="utf-8"))
    inner = tomllib.loads(bundle.read("pyproject.toml").decode())["project"]
    versions = {
        _metadata(wheel)["Version"],
        entry["version"],
        *(package["version"] for package in entry["packages"]),
        json.loads(bundle.read("manifest.json"))["version"],
        inner["version"],
    }
    assert versions == {VERSION}
    assert VERSION in (built / "INSTALL.md").read_text(encoding="utf-8")


def test_no_file_of_the_folder_states_a_version_of_its_own() -> None:
    files = [path for path in (ROOT / "packaging").rglob("*") if path.is_file()]
    stating = re.compile(rf'(?<![\w.=>"]){re.escape(VERSION)}(?![\w.])|"{re.escape(VERSION)}"')
    found = [
        str(path.relative_to(ROOT))
        for path in files
        if "lock" not in path.name and stating.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_registry_names_are_equal_everywhere(built: Path, wheel: zipfile.ZipFile) -> None:
    """The registry looks for its name in the README of the package and in the image."""
    entry = json.loads((built / "server.json").read_text(encoding="utf-8"))
    assert f"<!-- mcp-name: {entry['name']} -->" in str(_metadata(wheel).get_payload())
    dockerfile = (ROOT / "packaging" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert f'io.modelcontextprotocol.server.name="{entry["name"]}"' in dockerfile
    assert {package["identifier"] for package in entry["packages"]} == {PROJECT["name"]}
    assert len(entry["description"]) <= 100


def test_a_client_of_the_registry_runs_a_command_that_exists(built: Path) -> None:
    """`uvx NAME` runs the command that has the name of the package."""
    from sightline.server.cli import build_parser

    (package,) = json.loads((built / "server.json").read_text(encoding="utf-8"))["packages"]
    assert package["identifier"] in PROJECT["scripts"]
    words = [argument["value"] for argument in package["packageArguments"]]
    assert build_parser().parse_args(words).command == "serve"


@pytest.mark.parametrize("where", ["registry", "bundle"])
def test_each_variable_that_clients_set_is_a_setting(
    where: str, built: Path, bundle: zipfile.ZipFile
) -> None:
    from sightline.server.config.settings_reference import list_settings

    if where == "registry":
        (package,) = json.loads((built / "server.json").read_text(encoding="utf-8"))["packages"]
        named = {each["name"]: each.get("isSecret") for each in package["environmentVariables"]}
        secret = {name for name, is_secret in named.items() if is_secret}
    else:
        manifest = json.loads(bundle.read("manifest.json"))
        named = manifest["server"]["mcp_config"]["env"]
        keys = {key for key, each in manifest["user_config"].items() if each.get("sensitive")}
        secret = {name for name, value in named.items() if _user_key(value) in keys}
    assert set(named) <= {row.variable for row in list_settings()}
    assert secret == {"SIGHTLINE_VLM__API_KEY"}


def _user_key(value: str) -> str:
    match = re.fullmatch(r"\$\{user_config\.(\w+)\}", value)
    assert match is not None, value
    return match[1]


def test_the_bundle_asks_for_what_it_uses(bundle: zipfile.ZipFile) -> None:
    manifest = json.loads(bundle.read("manifest.json"))
    config = manifest["server"]["mcp_config"]
    used = re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(config))
    assert sorted(used) == sorted(manifest["user_config"])
    assert manifest["server"]["entry_point"] in config["args"]
    assert manifest["server"]["entry_point"] in bundle.namelist()


async def test_the_bundle_lists_the_tools_of_the_server(bundle: zipfile.ZipFile) -> None:
    server: MCPServer = MCPServer("bundle")
    register_all(server)
    expected = [tool.name for tool in await server.list_tools()]
    tools = json.loads(bundle.read("manifest.json"))["tools"]
    assert [tool["name"] for tool in tools] == expected
    assert all(tool["description"] for tool in tools)


def test_the_bundle_installs_its_wheel_and_pinned_versions(
    built: Path, bundle: zipfile.ZipFile
) -> None:
    project = tomllib.loads(bundle.read("pyproject.toml").decode())
    uv = project["tool"]["uv"]
    (wheel,) = built.glob("*.whl")
    assert uv["sources"] == {PROJECT["name"]: {"path": wheel.name}}
    assert bundle.read(wheel.name) == wheel.read_bytes()
    assert {entry.external_attr >> 16 for entry in bundle.infolist()} == {0o644}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert len(uv["constraint-dependencies"]) == len(re.findall(r"(?m)^[\w.\[\]-]+==", lock))
    assert any(each.startswith("numpy==") for each in uv["constraint-dependencies"])


def test_equal_sources_give_equal_files(
    built: Path, build_packages: ModuleType, tmp_path: Path
) -> None:
    project = build_packages.Project.load()
    (wheel,) = built.glob("*.whl")
    again = build_packages.build_bundle(tmp_path, project, wheel)
    assert again.read_bytes() == (built / again.name).read_bytes()


def test_the_sums_are_those_of_the_files(built: Path) -> None:
    lines = (built / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(sums) == {path.name for path in built.iterdir()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((built / name).read_bytes()).hexdigest() == digest


def test_the_skill_is_in_a_folder_of_its_name(built: Path) -> None:
    with zipfile.ZipFile(built / f"sightline-skill-{VERSION}.zip") as archive:
        assert "sightline/SKILL.md" in archive.namelist()
        assert archive.read("sightline/SKILL.md").startswith(b"---\nname: sightline\n")


def cursor_entry(link: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the entry that Cursor reads from a link."""
    query = parse_qs(urlsplit(link).query)
    return query["name"][0], json.loads(base64.b64decode(query["config"][0]))


def vscode_entry(link: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the entry that VS Code reads from a link."""
    target = parse_qs(urlsplit(link).query)["url"][0]
    scheme, _, text = target.partition("?")
    assert scheme == "vscode:mcp/install"
    entry = json.loads(unquote(text))
    return entry.pop("name"), entry


def test_the_links_of_a_release_start_this_version(built: Path) -> None:
    notes = (built / "INSTALL.md").read_text(encoding="utf-8")
    cursor, vscode = re.findall(r"\]\((https://[^)]+)\)", notes)
    expected = {
        "type": "stdio",
        "command": "uvx",
        "args": [f"{PROJECT['name']}=={VERSION}", "serve"],
    }
    assert cursor_entry(cursor) == ("sightline", expected)
    assert vscode_entry(vscode) == ("sightline", expected)


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/install.md"])
def test_the_links_of_the_docs_add_a_server_of_this_machine(
    page: str, build_packages: ModuleType
) -> None:
    """They equal what `sightline connect --http` writes."""
    from sightline.server.cli.connect.client_catalog import (
        CLIENTS,
        ClientPlatform,
        HttpServer,
    )

    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((https://(?:cursor\.com|insiders\.vscode\.dev)/[^)]+)\)", text)
    server, platform = HttpServer("http://127.0.0.1:8765/mcp"), ClientPlatform.current()
    cursor, vscode = (
        CLIENTS[name].entry(server, "sightline", platform) for name in ("cursor", "vscode")
    )
    assert links == [
        build_packages.cursor_link("sightline", cursor),
        build_packages.vscode_link("sightline", vscode),
    ]
    assert cursor_entry(links[0]) == ("sightline", cursor)
    assert vscode_entry(links[1]) == ("sightline", vscode)
