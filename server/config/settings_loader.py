"""Load settings; errors name the variable or the key of the configuration file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from sightline.server.config.redaction import DatabaseUrl, redact_dsn
from sightline.server.config.settings import (
    CONFIG_VARIABLE,
    DELIMITER,
    PREFIX,
    Settings,
    config_file,
    is_secret,
    nest,
    setting_fields,
)
from sightline.storage.errors import ConfigurationError

_FIELDS = dict(setting_fields())
_GROUPS = {key.rpartition(".")[0] for key in _FIELDS} - {""}


def variable(key: str) -> str:
    """Return the variable of a setting: ``SIGHTLINE_HTTP__PORT`` for ``http.port``."""
    return PREFIX + key.replace(".", DELIMITER).upper()


def load_settings(**overrides: Any) -> Settings:
    """Load settings from defaults, ``sightline.toml``, environment and overrides.

    ``http__port=0`` overrides ``http.port``. Raises ConfigurationError that lists all problems.
    """
    _check_variables(os.environ)
    try:
        return Settings(**nest(overrides))
    except ValidationError as error:
        sources = _Sources(overrides)
        problems = "; ".join(sources.problem(detail) for detail in error.errors())
        raise ConfigurationError(problems) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"Cannot read {config_file(os.environ)}: {error}") from error


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return one warning per ``SIGHTLINE_*`` variable that is not a setting.

    A warning is enough: container platforms add variables that start with the name of a service,
    such as ``SIGHTLINE_PORT``. None of them contains two underscores, so `load_settings` raises for
    an unknown ``SIGHTLINE_HTTP__...``.
    """
    known = {variable(key) for key in _FIELDS}
    return [
        f"{name} is not a setting.{_suggestion(name, known)}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known and name != CONFIG_VARIABLE
    ]


class EffectiveSetting(NamedTuple):
    """A setting with its value and source, as `sightline config` prints it."""

    key: str
    #: JSON-compatible. Secrets are replaced by ``***``.
    value: Any
    #: ``default``, an environment variable, or the path of the configuration file.
    source: str


def effective_settings() -> list[EffectiveSetting]:
    """Return all settings that `load_settings` loads, secrets hidden."""
    settings = load_settings()
    sources = _Sources({})
    return [
        EffectiveSetting(key, _shown(key, _get(settings, key)), sources.source(key))
        for key in _FIELDS
    ]


class _Sources:
    """Where the values of settings come from."""

    def __init__(self, overrides: Mapping[str, Any]) -> None:
        self._overrides = nest(overrides)
        self._environment = {name.upper() for name, value in os.environ.items() if value}
        self._path = config_file(os.environ)
        self._table = {} if self._path is None else _read_toml(self._path)

    def source(self, key: str) -> str:
        if variable(key) in self._environment:
            return variable(key)
        return str(self._path) if _contains(self._table, key) else "default"

    def problem(self, detail: Mapping[str, Any]) -> str:
        """Describe a pydantic error."""
        message = str(detail["msg"]).removeprefix("Value error, ")
        location = [str(part) for part in detail["loc"]]
        keys = [".".join(location[:length]) for length in range(len(location), 0, -1)]
        key = next((key for key in keys if key in _FIELDS or key in _GROUPS), None)
        if detail["type"] == "extra_forbidden" or key is None:
            key = ".".join(location)
            known = list(map(self._name_like(key), _FIELDS))
            name = self._name(key)
            return f"Unknown setting {name}.{_suggestion(self._name_like(key)(key), known)}"
        hidden = key in _GROUPS or is_secret(_FIELDS[key])
        given = "" if hidden else f" (it is {detail['input']!r})"
        return f"{self._name(key)} is wrong: {message}{given}"

    def _in_file(self, key: str) -> bool:
        return (
            not _contains(self._overrides, key)
            and variable(key) not in self._environment
            and _contains(self._table, key)
        )

    def _name_like(self, key: str) -> Any:
        return str if self._in_file(key) else variable

    def _name(self, key: str) -> str:
        return f"{key} in {self._path}" if self._in_file(key) else variable(key)


def _check_variables(environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError for unknown nested variables and values of groups."""
    known = {variable(key) for key in _FIELDS}
    unknown = [
        f"Unknown setting {name}.{_suggestion(name, known)}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and DELIMITER in name and name not in known
    ]
    if unknown:
        raise ConfigurationError("; ".join(unknown))
    for group in sorted(_GROUPS):
        if environment.get(variable(group)):
            members = [variable(key) for key in _FIELDS if key.rpartition(".")[0] == group]
            raise ConfigurationError(
                f"{variable(group)} is a group of settings. Available: {', '.join(members)}."
            )


def _read_toml(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)


def _contains(table: Mapping[str, Any], key: str) -> bool:
    value: Any = table
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _get(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _shown(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if is_secret(_FIELDS[key]) and not isinstance(value, DatabaseUrl):
        return "***"
    return redact_dsn(str(value))


def _suggestion(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]}?" if close else ""
