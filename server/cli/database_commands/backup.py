"""``sightline backup``: everything in one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline.server.config.settings import load

HELP = "write the database and the stored files into one file"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace the file where there is one")


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and say what is in it."""
    from sightline.server.database import instance_backup

    manifest = instance_backup.write(load(), arguments.file, overwrite=arguments.force)
    print(
        f"{arguments.file}: the database at schema {manifest.revision} and {manifest.objects:,} "
        f"stored files, {arguments.file.stat().st_size:,} bytes. Keep it as you keep the data."
    )
    return 0
