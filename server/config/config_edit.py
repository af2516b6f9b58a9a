"""Change keys of ``sightline.toml``; comments and all other keys stay as they are."""

from __future__ import annotations

import copy
import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from sightline.server.config.config_file import CONFIG_VARIABLE
from sightline.server.config.setting_types import absolute_path
from sightline.storage.errors import ConfigurationError, shown
from sightline.storage.files import SpecialFileError, write_private

_HEADER = "# Settings of Sightline. `sightline config` prints all of them.\n\n"


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """The text of a configuration file before and after a change."""

    path: Path
    before: str
    after: str

    @property
    def is_empty(self) -> bool:
        return self.before == self.after

    def lines(self) -> list[str]:
        """Return the lines that change, with ``+`` and ``-``.

        The headers of their tables are there, too. Others are not shown, because they may contain
        secrets.
        """
        compared = difflib.ndiff(self.before.splitlines(), self.after.splitlines())
        changed: list[str] = []
        header = ""
        for line in compared:
            if line.startswith("  ["):
                header = line
            elif line[:1] in "+-" and line[2:].strip():
                changed += [header, line] if header else [line]
                header = ""
        return changed

    def write(self) -> None:
        """Write the file atomically, for its owner only.

        Raises ConfigurationError, also if the file was changed after `plan_change`.
        """
        if _read(self.path) != self.before:
            raise ConfigurationError(
                f"{shown(str(self.path))} was changed in the meantime. It was not written. Run the "
                "command again."
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_private(self.path, self.after)
        except (SpecialFileError, OSError) as error:
            raise ConfigurationError(f"{self.path} cannot be written: {error.strerror}.") from error


def config_target(environment: Mapping[str, str]) -> Path:
    """Return the configuration file that a command writes, whether it exists or not."""
    named = environment.get(CONFIG_VARIABLE)
    if named:
        return absolute_path(named)
    return platformdirs.user_config_path("sightline", appauthor=False) / "sightline.toml"


def plan_change(
    values: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> ConfigChange:
    """Return the change that sets keys such as ``encoder.model``; None removes a key.

    A file that ``SIGHTLINE_CONFIG`` names is created in any case, because it must exist.

    Raises ConfigurationError if the file cannot be read or its form is not supported.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = config_target(environment)
    before = _read(path)
    try:
        expected = tomllib.loads(before)
        document = tomlkit.parse(before or _HEADER)
    except (ValueError, TOMLKitError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}. Correct it first.") from error
    original = copy.deepcopy(expected)
    try:
        for key, value in values.items():
            _set(expected, key, value, dict)
            _set(document, key, value, tomlkit.table)
        after = tomlkit.dumps(document)
        is_right = tomllib.loads(after) == expected
    except (ValueError, TypeError, KeyError, TOMLKitError):
        is_right = False
    if not is_right:
        lines = ", ".join(f"{key} = {value!r}" for key, value in values.items())
        raise ConfigurationError(
            f"The form of {path} is not supported. It was not changed. Set these keys yourself: "
            f"{lines}."
        )
    is_needed = original != expected or (environment.get(CONFIG_VARIABLE) and not path.exists())
    return ConfigChange(path, before, after if is_needed else before)


def _set(table: Any, key: str, value: Any, new_table: Any) -> None:
    """Set a key in nested tables, or remove it."""
    *groups, name = key.split(".")
    for group in groups:
        if group not in table:
            if value is None:
                return
            table[group] = new_table()
        table = table[group]
    if value is not None:
        table[name] = value
    elif name in table:
        del table[name]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{shown(str(path))} cannot be read: {error}.") from error
