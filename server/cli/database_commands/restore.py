"""``sightline restore``: back from a file that ``sightline backup`` wrote."""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline.server.config.settings import load

HELP = "bring back what sightline backup wrote"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to read")
    parser.add_argument(
        "--replace", action="store_true", help="drop what is in the database and data folder"
    )


def run(arguments: argparse.Namespace) -> int:
    """Restore, and say what came back."""
    from sightline.server.database import instance_backup

    manifest = instance_backup.restore(load(), arguments.file, replace=arguments.replace)
    print(
        f"Restored from schema {manifest.revision} with {manifest.objects:,} stored files. "
        "Make analysts' logins anew with: sightline grant-analyst NAME"
    )
    return 0
