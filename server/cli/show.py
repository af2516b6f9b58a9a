"""``sightline show``: print the properties of one asset."""

from __future__ import annotations

import argparse
import json
from typing import Any

from sightline.server.cli.cli_context import call_tool
from sightline.server.config import load_settings

HELP = "show the properties of one asset"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("asset", help="asset id of a search result")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print one property per line."""
    result = call_tool(load_settings(), "view_image", {"asset": arguments.asset, "max_edge": 64})
    evidence: dict[str, Any] = result["evidence"]
    if arguments.json:
        print(json.dumps(evidence, ensure_ascii=False, indent=2))
        return 0
    for key, value in evidence.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        print(f"{key + ':':<13} {text}")
    return 0
