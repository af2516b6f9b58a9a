"""Find the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import platformdirs

from sightline.server.config.setting_types import absolute_path
from sightline.storage.errors import ConfigurationError

#: Environment variable with the path of the configuration file.
CONFIG_VARIABLE = "SIGHTLINE_CONFIG"


def config_file(environment: Mapping[str, str]) -> Path | None:
    """Return the named configuration file, or the default one if it exists.

    Raises ConfigurationError if a named file does not exist.
    """
    named = environment.get(CONFIG_VARIABLE)
    if named:
        path = absolute_path(named)
        if not path.exists():
            raise ConfigurationError(
                f"Configuration file {str(path)!r} does not exist. Create it, or change --config "
                f"or {CONFIG_VARIABLE}."
            )
        return path
    path = platformdirs.user_config_path("sightline", appauthor=False) / "sightline.toml"
    return path if path.is_file() else None
