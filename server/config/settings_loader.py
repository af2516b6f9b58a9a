"""Load settings; errors name the variable or the key of the configuration file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from sightline.server.config.config_file import CONFIG_VARIABLE, config_file
from sightline.server.config.setting_types import DatabaseUrl, absolute_path, redact_dsn
from sightline.server.config.settings import (
    DELIMITER,
    PREFIX,
    Settings,
    nest,
    setting_fields,
)
from sightline.storage.errors import ConfigurationError

_FIELDS = {key: info for key, info, _ in setting_fields()}
_LOCAL_MODEL = "local-dir:"
_GROUPS = {key.rpartition(".")[0] for key in _FIELDS} - {""}


def variable(key: str) -> str:
    """Return the variable of a setting: ``SIGHTLINE_HTTP__PORT`` for ``http.port``."""
    return PREFIX + key.replace(".", DELIMITER).upper()


_VARIABLES = {variable(key) for key in _FIELDS}


def load_settings(**overrides: Any) -> Settings:
    """Load settings from defaults, ``sightline.toml``, environment and overrides.

    ``http__port=0`` overrides ``http.port``. Raises ConfigurationError that lists all problems.
    """
    _check_variables()
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
    return [
        f"{name} is not a setting.{_suggestion(name, _VARIABLES)}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in {*_VARIABLES, CONFIG_VARIABLE}
    ]


class SetVariables(NamedTuple):
    """The ``SIGHTLINE_*`` variables that are set, secrets apart.

    Paths are absolute, so that a process in another folder reads the same.
    """

    public: dict[str, str]
    secret: dict[str, str]


def set_variables() -> SetVariables:
    """Return the variables of settings that are set. Raises ConfigurationError."""
    settings = load_settings()
    found = SetVariables({}, {})
    if os.environ.get(CONFIG_VARIABLE) and (path := config_file(os.environ)) is not None:
        found.public[CONFIG_VARIABLE] = str(path)
    for key in _FIELDS:
        if text := os.environ.get(variable(key)):
            value = attrgetter(key)(settings)
            if isinstance(value, Path):
                text = str(value)
            elif isinstance(value, tuple) and all(isinstance(each, Path) for each in value):
                text = os.pathsep.join(map(str, value))
            elif text.startswith(_LOCAL_MODEL):
                path = absolute_path(text.removeprefix(_LOCAL_MODEL))
                text = f"{_LOCAL_MODEL}{path}"
            is_public = not _is_secret(key) or (
                isinstance(value, DatabaseUrl) and redact_dsn(text) == text
            )
            (found.public if is_public else found.secret)[variable(key)] = text
    return found


class EffectiveSetting(NamedTuple):
    """A setting with its value and source, as `sightline config` prints it.

    ``value`` is JSON-compatible; secrets are replaced by ``***``. ``source`` is ``default``, an
    environment variable, or the path of the configuration file.
    """

    key: str
    value: Any
    source: str


def effective_settings() -> list[EffectiveSetting]:
    """Return all settings that `load_settings` loads, secrets hidden."""
    settings = load_settings()
    sources = _Sources({})
    return [
        EffectiveSetting(key, _shown(key, attrgetter(key)(settings)), sources.source(key))
        for key in _FIELDS
    ]


class _Sources:
    """Where the values of settings come from."""

    def __init__(self, overrides: Mapping[str, Any]) -> None:
        self._overrides = nest(overrides)
        self._environment = {name.upper() for name, value in os.environ.items() if value}
        self._path = config_file(os.environ)
        self._table = {} if self._path is None else tomllib.loads(self._path.read_text("utf-8"))

    def source(self, key: str) -> str:
        if variable(key) in self._environment:
            return variable(key)
        return str(self._path) if _contains(self._table, key) else "default"

    def problem(self, detail: Mapping[str, Any]) -> str:
        """Describe a pydantic error."""
        location = [str(part) for part in detail["loc"]]
        keys = [".".join(location[:length]) for length in range(len(location), 0, -1)]
        known = next((key for key in keys if key in _FIELDS or key in _GROUPS), None)
        if detail["type"] == "extra_forbidden":
            known = None
        key = known or keys[0]
        in_file = not _contains(self._overrides, key) and self.source(key) == str(self._path)
        display: Callable[[str], str] = str if in_file else variable
        name = f"{key} in {self._path}" if in_file else variable(key)
        if known is None:
            return f"Unknown setting {name}.{_suggestion(display(key), map(display, _FIELDS))}"
        message = str(detail["msg"]).removeprefix("Value error, ")
        hidden = key in _GROUPS or _is_secret(key)
        return f"{name} is wrong: {message}" + ("" if hidden else f" (it is {detail['input']!r})")


def _check_variables() -> None:
    """Raise ConfigurationError for unknown nested variables and values of groups."""
    unknown = [
        f"Unknown setting {name}.{_suggestion(name, _VARIABLES)}"
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and DELIMITER in name and name not in _VARIABLES
    ]
    if unknown:
        raise ConfigurationError("; ".join(unknown))
    for group in sorted(_GROUPS):
        if os.environ.get(variable(group)):
            members = [variable(key) for key in _FIELDS if key.rpartition(".")[0] == group]
            raise ConfigurationError(
                f"{variable(group)} is a group of settings. Available: {', '.join(members)}."
            )


def _contains(table: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(table, Mapping) or part not in table:
            return False
        table = table[part]
    return True


def _is_secret(key: str) -> bool:
    """Return whether a setting may contain a password or key."""
    annotation = str(_FIELDS[key].annotation)
    return "Secret" in annotation or "DatabaseUrl" in annotation


def _shown(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if _is_secret(key) and not isinstance(value, DatabaseUrl):
        return "***"
    return redact_dsn(str(value))


def _suggestion(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]}?" if close else ""
