"""``sightline config``: print the effective settings and their sources."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import groupby

from sightline.server.config.settings_loader import EffectiveSetting, effective_settings
from sightline.server.observability.terminal import write_json, write_lines


def configure_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=("table", "toml"), default="table", help="default: table"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_config(arguments: argparse.Namespace) -> None:
    settings = effective_settings()
    if arguments.json:
        write_json({item.key: {"value": item.value, "source": item.source} for item in settings})
    else:
        write_lines(*(_toml(settings) if arguments.format == "toml" else _table(settings)))


def _table(settings: list[EffectiveSetting]) -> Iterator[str]:
    rows = [(item.key, _cell(item.value), item.source) for item in settings]
    key_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    for key, value, source in rows:
        yield f"{key:{key_width}}  {value:{value_width}}  {source}"


def _toml(settings: list[EffectiveSetting]) -> Iterator[str]:
    for group, items in groupby(settings, lambda item: item.key.rpartition(".")[0]):
        if group:
            yield ""
            yield f"[{group}]"
        for item in items:
            unset = item.value is None or "***" in str(item.value)
            line = f"{item.key.rpartition('.')[2]} = {json.dumps(item.value)}"
            yield f"{'# ' if unset else ''}{line}  # {item.source}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return json.dumps(value) if isinstance(value, list | bool) else str(value)
