"""Generate ``docs/reference/settings.md`` from the settings model.

``make reference`` writes the page.
"""

from __future__ import annotations

import ast
import inspect
import sys
from itertools import groupby, pairwise
from typing import NamedTuple

from pydantic_core import PydanticUndefined

from sightline.server.config import model_settings, settings
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
    """One row of a table of settings.

    ``default`` is empty if there is no default, or if it depends on the machine.
    """

    group: str
    variable: str
    key: str
    default: str
    description: str


def list_settings() -> list[SettingRow]:
    """Return all settings in order of declaration."""
    # Not `use_attribute_docstrings` of pydantic, which reads the source at each start.
    descriptions = {
        (model.name, ast.unparse(field.target)): " ".join(ast.literal_eval(text.value).split())
        for module in (settings, model_settings)
        for model in ast.parse(inspect.getsource(module)).body
        if isinstance(model, ast.ClassDef)
        for field, text in pairwise(model.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    rows = []
    for key, info, model in settings.setting_fields():
        name = key.rpartition(".")[2]
        texts = [descriptions.get((base.__name__, name)) for base in model.__mro__]
        group = "General" if name == key else str(model.__doc__)
        description = next(filter(None, texts), "")
        default = _format_default(info.default)
        rows.append(SettingRow(group, variable(key), key, default, description))
    return rows


def settings_markdown() -> str:
    """Return the reference page."""
    parts = [_INTRODUCTION]
    for group, rows in groupby(list_settings(), lambda row: row.group):
        parts += [f"## {group}\n", "| variable | key | default | meaning |\n|---|---|---|---|"]
        parts += [f"| `{r.variable}` | `{r.key}` | {r.default} | {r.description} |" for r in rows]
        parts.append("")
    return "\n".join(parts)


def _format_default(value: object) -> str:
    if value in (PydanticUndefined, None, (), ""):
        return ""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`"


if __name__ == "__main__":
    sys.stdout.write(settings_markdown())
