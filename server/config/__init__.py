"""Settings: model, sources, validation and reference."""

from sightline.server.config.setting_types import absolute_path, redact_dsn
from sightline.server.config.settings import Settings
from sightline.server.config.settings_loader import (
    load_settings,
    set_variables,
    unknown_variables,
    variable,
)

__all__ = [
    "Settings",
    "absolute_path",
    "load_settings",
    "redact_dsn",
    "set_variables",
    "unknown_variables",
    "variable",
]
