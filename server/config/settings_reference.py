"""Generate ``docs/reference/settings.md`` from the settings model.

``make reference`` writes the page.
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Any, NamedTuple

from pydantic_core import PydanticUndefined

from sightline.server.config.settings import Settings, setting_fields
from sightline.server.config.settings_loader import variable

_INTRODUCTION = """\
# Settings

This page is generated from the settings model. `make reference` updates it.

Sources, from low to high priority: defaults, configuration file, environment variables, options of
a command. `sightline config` prints all values and their sources.

- **Environment:** `SIGHTLINE_HTTP__PORT=9000`. An empty variable counts as unset. Separate list
  items by commas, and paths by `:` (`;` on Windows).
- **Configuration file:** `sightline.toml` in the configuration folder of the platform
  (`~/.config/sightline` on Linux, `~/Library/Application Support/sightline` on macOS), or the file
  given by `--config FILE` or `SIGHTLINE_CONFIG`. Keys with a dot belong to a table:

```toml
data_dir = "/srv/sightline"

[http]
port = 9000

[auth.jwt]
issuer = "https://login.example"
```

Keep the file private (`chmod 600`) if it contains API keys or passwords.
"""


class SettingRow(NamedTuple):
    """One row of a table of settings."""

    variable: str
    key: str
    #: Empty if there is no default, or if it depends on the machine.
    default: str
    description: str


def list_settings() -> list[SettingRow]:
    """Return all settings in order of declaration."""
    return [
        SettingRow(variable(key), key, _format_default(info.default), info.description or "")
        for key, info in setting_fields()
    ]


def settings_markdown() -> str:
    """Return the reference page."""
    parts = [_INTRODUCTION]
    for group, rows in groupby(list_settings(), lambda row: row.key.rpartition(".")[0]):
        parts += [
            f"## {_title(group)}\n",
            "| variable | key | default | meaning |\n|---|---|---|---|",
            *(
                f"| `{row.variable}` | `{row.key}` | {row.default} | {row.description} |"
                for row in rows
            ),
            "",
        ]
    return "\n".join(parts)


def _title(group: str) -> str:
    if not group:
        return "General"
    model: Any = Settings
    for name in group.split("."):
        model = model.model_fields[name].annotation
    return str(model.__doc__)


def _format_default(value: object) -> str:
    if value in (PydanticUndefined, None, (), ""):
        return ""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`"


if __name__ == "__main__":
    sys.stdout.write(settings_markdown())
