"""``sightline show``: everything that is known of one asset."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from sightline.server.cli.tool_client import call_tool
from sightline.server.config.settings import load

HELP = "show one asset: its facts and where its picture is"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("asset", help="asset id of a search result")
    parser.add_argument("--json", action="store_true", help="print JSON instead")


def run(arguments: argparse.Namespace) -> int:
    """Print the facts, one a line."""
    shown = call_tool(load(), "view_image", {"asset": arguments.asset, "max_edge": 64})
    evidence: dict[str, Any] = shown["evidence"]
    if arguments.json:
        print(json.dumps(evidence, ensure_ascii=False, indent=2))
        return 0
    for key, value in evidence.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        sys.stdout.write(f"{key + ':':<13} {text}\n")
    return 0
