"""Tests of the settings model and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sightline.server.config import load_settings, redact_dsn, unknown_variables
from sightline.server.config.settings_reference import list_settings
from sightline.storage.errors import ConfigurationError


def test_variables_set_values_and_overrides_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_HTTP__PORT", "9001")
    monkeypatch.setenv("SIGHTLINE_LOG__LEVEL", "debug")
    settings = load_settings(log__level="error")
    assert (settings.http.port, settings.log.level) == (9001, "error")


def test_lists_are_separated_by_commas_and_paths_by_the_path_separator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTLINE_HTTP__ALLOWED_HOSTS", "eyes.example:*, eyes.example")
    monkeypatch.setenv("SIGHTLINE_ALLOWED_ROOTS", f"{tmp_path}:~/pictures")
    monkeypatch.setenv("SIGHTLINE_AUTH__JWT__ALGORITHMS", "ES384, EdDSA")
    settings = load_settings()
    assert settings.http.allowed_hosts == ("eyes.example:*", "eyes.example")
    assert settings.allowed_roots == (tmp_path, Path.home() / "pictures")
    assert settings.auth.jwt.algorithms == ("ES384", "EdDSA")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", "")
    monkeypatch.setenv("SIGHTLINE_VLM", "")
    assert load_settings().database.url is None


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.http.port = 1


def test_replace_changes_nested_values_in_a_copy() -> None:
    settings = load_settings()
    changed = settings.replace(default_collection="x", auth__jwt__audience="y")
    assert (changed.default_collection, changed.auth.jwt.audience) == ("x", "y")
    assert changed.auth.jwt.algorithms == settings.auth.jwt.algorithms
    assert settings.auth.jwt.audience is None


def test_secrets_are_absent_from_repr_and_str() -> None:
    settings = load_settings(
        database__url="postgresql://ann:hunter2@db/eyes",
        vlm__api_key="sk-hunter2",
        auth__signing_key="hunter2" * 5,
    )
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert "postgresql://ann:***@db/eyes" in repr(settings)
    assert settings.database.url is not None
    assert settings.database.url.get_secret_value() == "postgresql://ann:hunter2@db/eyes"


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
        ("http__port", "abc", r"SIGHTLINE_HTTP__PORT is wrong: .*integer.*'abc'"),
        ("http__port", 65536, "SIGHTLINE_HTTP__PORT .*65535"),
        ("encoder__model", "ViT B-32", "SIGHTLINE_ENCODER__MODEL .*'builtin'.*'ARCH/PRETRAINED'"),
        ("encoder__device", "gpu", "SIGHTLINE_ENCODER__DEVICE .*'cuda:N'.*'gpu'"),
        ("log__level", "loud", "SIGHTLINE_LOG__LEVEL .*'debug', 'info'"),
        ("vlm__base_url", "ftp://host", "SIGHTLINE_VLM__BASE_URL .*http://"),
        ("auth__jwt__algorithms", "HS256", "SIGHTLINE_AUTH__JWT__ALGORITHMS .*'RS256'"),
        ("encodr__model", "x", "Unknown setting SIGHTLINE_ENCODR. .* SIGHTLINE_ENCODER__MODEL"),
        ("http__prt", 1, "Unknown setting SIGHTLINE_HTTP__PRT. .* SIGHTLINE_HTTP__PORT?"),
        ("http__shutdown_timeout_seconds", "inf", "SIGHTLINE_HTTP__SHUTDOWN_TIMEOUT.* finite"),
    ],
)
def test_an_invalid_value_is_reported_with_the_valid_ones(
    field: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_settings(**{field: value})


def test_an_invalid_secret_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(vlm__api_key=["hunter2"], database__url={"password": "hunter2"})
    assert "SIGHTLINE_VLM__API_KEY" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["SIGHTLINE_VLM__API_KYE", "SIGHTLINE_VML__API_KEY"])
def test_an_unknown_nested_variable_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(ConfigurationError, match="Did you mean SIGHTLINE_VLM__API_KEY") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_value_for_a_group_is_an_error_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_ENCODER", "builtin")
    with pytest.raises(ConfigurationError, match=r"group of settings.*SIGHTLINE_ENCODER__MODEL"):
        load_settings()


def test_other_unknown_variables_get_a_warning_with_the_nearest_name() -> None:
    environment = {
        "SIGHTLINE_DATA_DIRR": "x",
        "SIGHTLINE_DATA_DIR": "/x",
        "SIGHTLINE_CONFIG": "/x",
        "PATH": "/bin",
    }
    assert unknown_variables(environment) == [
        "SIGHTLINE_DATA_DIRR is not a setting. Did you mean SIGHTLINE_DATA_DIR?"
    ]


def test_there_are_at_most_ninety_settings_and_all_have_a_description() -> None:
    settings = list_settings()
    assert len(settings) <= 90
    assert all(setting.description.endswith(".") for setting in settings)
