"""The container image and the compose file, as far as no Docker daemon is needed."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.cli import build_parser
from sightline.server.config import load_settings
from sightline.server.config.settings_reference import list_settings
from sightline.server.database import schema_migration
from sightline.server.http.http_server import start_http_server
from sightline.storage.postgres import EmbeddedPostgres, programs
from tests.support.ports import free_port
from tests.support.settings import make_settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
_SECRET = re.compile(r"password|token|secret|api_?key", re.IGNORECASE)


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


DOCKERFILE = instructions((FOLDER / "Dockerfile").read_text(encoding="utf-8"))
_LAST_STAGE = max(index for index, (word, _) in enumerate(DOCKERFILE) if word == "FROM")
FINAL = DOCKERFILE[_LAST_STAGE:]


def is_sent(path: str, patterns: list[str]) -> bool:
    """Return whether the build gets a path, by the rules of a .dockerignore file."""
    sent = True
    parents = [path, *map(str, Path(path).parents)][:-1]
    for pattern in patterns:
        names = {pattern.removeprefix("!"), pattern.removeprefix("!").removeprefix("**/")}
        if any(fnmatch.fnmatch(part, name) for part in parents for name in names) or any(
            fnmatch.fnmatch(Path(part).name, name) for part in parents for name in names
        ):
            sent = pattern.startswith("!")
    return sent


IGNORED = [
    line
    for line in (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def test_the_build_gets_each_file_that_it_copies() -> None:
    copied = [
        source
        for word, rest in DOCKERFILE
        if word in {"COPY", "ADD"} and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert {"pyproject.toml", "src", "server", "packaging/docker/health_check.py"} <= set(copied)
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert [path for path in copied if not is_sent(path, IGNORED)] == []


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "build/packages/a.whl",
        "docs/index.md",
        "packaging/docker/.env",
        "packaging/docker/tokens",
        "requirements-dev.lock",
        "server/.env",
        "tests/conftest.py",
    ],
)
def test_the_build_gets_no_secrets_and_nothing_that_it_does_not_need(path: str) -> None:
    assert not is_sent(path, IGNORED)


def test_the_wheel_of_the_image_has_all_packages() -> None:
    copied = {rest.split()[0] for word, rest in DOCKERFILE if word == "COPY"}
    packages = {path.name for path in (ROOT / "src" / "sightline").iterdir() if path.is_symlink()}
    assert packages <= copied


def test_the_image_does_not_run_as_root() -> None:
    words = [word for word, _ in FINAL]
    user = next(rest for word, rest in reversed(FINAL) if word == "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert words.index("USER") < words.index("ENTRYPOINT") < words.index("CMD")
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in {"RUN", "COPY"})


def test_the_image_has_no_secrets() -> None:
    defined = [rest for word, rest in DOCKERFILE if word in {"ARG", "ENV"}]
    assert [rest for rest in defined if _SECRET.search(rest)] == []


def test_each_variable_of_the_image_is_a_setting() -> None:
    named = set(re.findall(r"SIGHTLINE_\w+", (FOLDER / "Dockerfile").read_text(encoding="utf-8")))
    assert named == {"SIGHTLINE_DATA_DIR"}
    assert named <= {row.variable for row in list_settings()}


def test_the_command_of_the_image_serves_http_to_other_machines() -> None:
    values = {word: rest for word, rest in FINAL if word in {"ENTRYPOINT", "CMD"}}
    program, *words = json.loads(values["ENTRYPOINT"]) + json.loads(values["CMD"])
    arguments = build_parser().parse_args(words)
    assert program == "sightline"
    assert (arguments.command, arguments.http, arguments.host) == ("serve", True, "0.0.0.0")


def _health_check(port: int) -> int:
    """Run the health check as the image does, with a proxy that it must not use."""
    (check,) = (rest for word, rest in FINAL if word == "HEALTHCHECK")
    words = json.loads(check.partition("CMD ")[2])
    assert words == ["python3", "-I", "/opt/sightline/health_check.py"]
    done = subprocess.run(
        [sys.executable, "-I", str(FOLDER / "health_check.py")],
        env={"SIGHTLINE_HTTP__PORT": str(port), "http_proxy": f"http://127.0.0.1:{free_port()}"},
        check=False,
        stderr=subprocess.PIPE,
    )
    assert done.stderr == b""
    return done.returncode


async def test_the_health_check_follows_the_readiness_of_the_server(
    tmp_path: Path, database_dsn: str
) -> None:
    def port_of(url: str) -> int:
        return int(urlsplit(url).port or 0)

    assert await asyncio.to_thread(_health_check, free_port()) == 1
    without_database = make_settings(tmp_path / "a")
    async with start_http_server(without_database) as (url, _):
        assert await asyncio.to_thread(_health_check, port_of(url)) == 1
    settings = make_settings(
        tmp_path / "b", database__url=database_dsn, encoder__model="builtin", encoder__threads=1
    )
    async with start_http_server(settings) as (url, running), httpx.AsyncClient() as http:
        await http.get(url.replace("/mcp", "/healthz"))
        assert running.app.runtime is not None
        await running.app.runtime.wait_ready()
        assert await asyncio.to_thread(_health_check, port_of(url)) == 0


def _environment(service: str, values: dict[str, str]) -> dict[str, str]:
    """Return the variables of a service with ``${NAME:-default}`` replaced."""

    def replaced(match: re.Match[str]) -> str:
        name, _, default = match[1].partition(":")
        if not values.get(name) and default.startswith("?"):
            raise KeyError(name)
        return values.get(name) or default.removeprefix("-")

    variables = COMPOSE["services"][service]["environment"]
    return {
        name: re.sub(r"\$\{([^}]+)\}", replaced, str(value)) for name, value in variables.items()
    }


def _example() -> dict[str, str]:
    lines = (FOLDER / "example.env").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def test_the_example_has_each_variable_of_the_compose_file() -> None:
    used = set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text(encoding="utf-8")))
    assert used == set(_example())


def test_the_example_has_no_passwords() -> None:
    assert {
        name: value for name, value in _example().items() if _SECRET.search(name) and value
    } == {}


@pytest.mark.parametrize("missing", ["POSTGRES_PASSWORD", "SIGHTLINE_PASSWORD"])
def test_without_passwords_compose_does_not_start(missing: str) -> None:
    given = {"POSTGRES_PASSWORD": "a", "SIGHTLINE_PASSWORD": "b", missing: ""}
    with pytest.raises(KeyError, match=missing):
        _environment("postgres", {**_example(), **given})


@pytest.mark.parametrize("vlm", [{}, {"BASE_URL": "http://vllm:8000/v1", "MODEL": "m"}])
def test_the_variables_of_the_service_are_settings(
    vlm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {**_example(), "SIGHTLINE_PASSWORD": "p4ss"}
    values |= {f"SIGHTLINE_VLM__{name}": value for name, value in vlm.items()}
    for name, value in _environment("sightline", values).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.database.url is not None
    dsn = conninfo_to_dict(settings.database.url.get_secret_value())
    assert (dsn["host"], dsn["user"], dsn["password"]) == ("postgres", "sightline", "p4ss")
    assert settings.vlm.base_url == vlm.get("BASE_URL")
    assert str(settings.auth.tokens_file) == "/run/secrets/tokens"


def test_only_this_machine_reaches_the_services() -> None:
    published = {
        name: service["ports"]
        for name, service in COMPOSE["services"].items()
        if "ports" in service
    }
    assert published == {"sightline": ["127.0.0.1:8765:8765"]}
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert COMPOSE["services"]["postgres"]["networks"] == ["database"]


def test_the_server_has_no_rights_in_its_container() -> None:
    service = COMPOSE["services"]["sightline"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert COMPOSE["services"]["vllm"]["profiles"] == ["vllm"]


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the DSN of the administrator of a Postgres of its own, which has no Sightline."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("cluster"), durable=False) as server:
        dsn = make_conninfo(server.dsn("postgres"), user="administrator")
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE administrator LOGIN SUPERUSER")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS sightline")
            connection.execute("ALTER ROLE sightline RENAME TO former")
        yield dsn


def _is_ready(dsn: str) -> tuple[object, ...] | None:
    """Create the schema as the owner of a database, and return the rights of that role."""
    schema_migration.upgrade(dsn)
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()


def test_the_statements_for_a_managed_postgres_suffice(admin: str) -> None:
    guide = (ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
    section = guide.split("## Managed Postgres")[1].split("\n## ")[0]
    statements = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    assert len(statements) == 2
    # The script below uses the name too.
    first, second = (re.sub(r"\bsightline\b", "managed", each) for each in statements)
    with psycopg.connect(admin, autocommit=True) as connection:
        for statement in filter(str.strip, first.split(";")):
            connection.execute(statement)
    with psycopg.connect(make_conninfo(admin, dbname="managed")) as connection:
        connection.execute(second)
    dsn = make_conninfo(admin, dbname="managed", user="managed")
    assert _is_ready(dsn) == (False, True, False)


def test_the_script_makes_a_database_for_a_role_without_superuser_rights(admin: str) -> None:
    parts = conninfo_to_dict(admin)
    psql = Path(programs.installed()[0].program("psql"))
    environment = {
        "PATH": f"{psql.parent}:{os.defpath}",
        "PGHOST": str(parts["host"]),
        "PGPORT": str(parts["port"]),
        "POSTGRES_USER": str(parts["user"]),
        "SIGHTLINE_PASSWORD": "it's \\ secret",
    }
    script = [str(FOLDER / "create_database.sh")]
    subprocess.run(script, env=environment, check=True, stdout=subprocess.DEVNULL)
    again = subprocess.run(
        script, env=environment, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert again.returncode != 0
    assert b'role "sightline" already exists' in again.stderr
    dsn = make_conninfo(admin, dbname="sightline", user="sightline")
    assert _is_ready(dsn) == (False, True, False)
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
    stranger = make_conninfo(dsn, user="stranger")
    for statement in (
        "CREATE TABLE public.anything ()",
        "CREATE TEMPORARY TABLE anything ()",
        "SELECT pg_advisory_lock(1)",
    ):
        with (
            psycopg.connect(stranger) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


def test_the_script_needs_a_password() -> None:
    done = subprocess.run(
        [str(FOLDER / "create_database.sh")], env={}, check=False, stderr=subprocess.PIPE
    )
    assert done.returncode != 0
    assert b"SIGHTLINE_PASSWORD" in done.stderr
