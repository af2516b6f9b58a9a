"""Settings are read once from the environment, say what is wrong, and keep secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sightline.server.config import settings
from sightline.server.observability.redaction import redact_dsn
from sightline.storage.errors import ConfigurationError


def test_reads_variables_by_prefix_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_HTTP_PORT", "9001")
    monkeypatch.setenv("SIGHTLINE_LOG_LEVEL", "debug")
    read = settings.load(log_level="error")
    assert (read.http_port, read.log_level) == (9001, "error")


def test_lists_are_separated_by_commas_and_paths_by_the_path_separator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTLINE_HTTP_ALLOWED_HOSTS", "eyes.example:*, eyes.example")
    monkeypatch.setenv("SIGHTLINE_ALLOWED_ROOTS", f"{tmp_path}:~/pictures")
    read = settings.load()
    assert read.http_allowed_hosts == ("eyes.example:*", "eyes.example")
    assert read.allowed_roots == (tmp_path, Path.home() / "pictures")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", "")
    assert settings.load().database_url is None


def test_settings_cannot_be_changed() -> None:
    read = settings.load()
    with pytest.raises(ValidationError, match="frozen"):
        read.http_port = 1


def test_secrets_are_absent_from_repr_and_str() -> None:
    read = settings.load(
        database_url="postgresql://ann:hunter2@db/eyes", vlm_api_key="sk-hunter2", http_tokens="h2"
    )
    assert "hunter2" not in f"{read!r} {read} {read.model_dump()}"
    assert "postgresql://ann:***@db/eyes" in repr(read)
    assert read.database_url is not None
    assert read.database_url.get_secret_value() == "postgresql://ann:hunter2@db/eyes"


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://ann:pw@db/eyes", "postgresql://ann:***@db/eyes"),
        ("postgresql://ann:p@w@db/eyes", "postgresql://ann:***@db/eyes"),
        ("postgresql://:pw@db/eyes", "postgresql://:***@db/eyes"),
        ("postgresql:///eyes?host=/run&password=pw", "postgresql:///eyes?host=/run&password=***"),
        ("host=db password=pw user=ann", "host=db password=*** user=ann"),
        (r"host=db password='p \' w' user=ann", "host=db password=*** user=ann"),
        ("postgresql://db:5432/eyes", "postgresql://db:5432/eyes"),
    ],
)
def test_redaction_hides_the_password_and_keeps_the_rest(dsn: str, shown: str) -> None:
    assert redact_dsn(dsn) == shown


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("http_port", "abc", r"SIGHTLINE_HTTP_PORT is wrong: .*integer.*'abc'"),
        ("http_port", 65536, "SIGHTLINE_HTTP_PORT .*65535"),
        ("encoder", "ViT-B-32", "SIGHTLINE_ENCODER .*'builtin'.*'ARCH/PRETRAINED'"),
        ("device", "gpu", "SIGHTLINE_DEVICE .*'cuda:N'.*'gpu'"),
        ("log_level", "loud", "SIGHTLINE_LOG_LEVEL .*'debug', 'info'"),
        ("vlm_base_url", "ftp://host", "SIGHTLINE_VLM_BASE_URL .*http://"),
        ("pool_min_connections", 99, "pool_min_connections is greater than pool_max_connections"),
        ("encodr", "builtin", "there is no setting 'encodr'; did you mean 'encoder'"),
        ("http_shutdown_seconds", "inf", "SIGHTLINE_HTTP_SHUTDOWN_SECONDS .*finite"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_valid(
    field: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings.load(**{field: value})


def test_a_wrong_secret_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings.load(vlm_api_key=["hunter2"], database_url={"password": "hunter2"})
    assert "SIGHTLINE_VLM_API_KEY" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_variable_is_reported_with_the_nearest_name() -> None:
    environment = {"SIGHTLINE_ENCODR": "x", "SIGHTLINE_ENCODER": "builtin", "PATH": "/bin"}
    assert settings.unknown_variables(environment) == [
        "SIGHTLINE_ENCODR is not a setting; did you mean 'SIGHTLINE_ENCODER'?"
    ]


def test_every_setting_is_described() -> None:
    rows = settings.described()
    assert len(rows) == len(settings.Settings.model_fields)
    assert all(row.description.endswith(".") for row in rows)
