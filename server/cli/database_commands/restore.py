"""``sightline restore``: restore a file of ``sightline backup``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline.server.config import load_settings

HELP = "restore a backup"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file to read")
    parser.add_argument(
        "--replace", action="store_true", help="delete the current data of the database first"
    )


def run(arguments: argparse.Namespace) -> int:
    """Restore the file, and print a summary."""
    from sightline.server.database import instance_backup

    manifest = instance_backup.restore(load_settings(), arguments.file, replace=arguments.replace)
    print(
        f"Restored schema {manifest.revision} and {manifest.objects:,} stored files. "
        "Create the analyst logins again: sightline grant-analyst NAME"
    )
    return 0
