"""``sightline backup``: write all data into one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline.server.config import load_settings

HELP = "write the database and the stored files into one file"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and print a summary."""
    from sightline.server.database import instance_backup

    manifest = instance_backup.write(load_settings(), arguments.file, overwrite=arguments.force)
    print(
        f"{arguments.file}: database with schema {manifest.revision} and {manifest.objects:,} "
        f"stored files, {arguments.file.stat().st_size:,} bytes. Protect it like the data itself."
    )
    return 0
