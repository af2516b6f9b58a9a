"""``sightline world``: draw pictures with exact ground truth."""

from __future__ import annotations

import argparse

HELP = "draw an album with captions, questions and boxes that are exactly right"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from sightline.training.world import export

    export.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the album and say what was written."""
    from sightline.training.world import export

    return export.run(arguments)
