"""``sightline world``: draw synthetic images with exact ground truth."""

from __future__ import annotations

import argparse

HELP = "draw synthetic images with exact captions, questions and boxes"


def configure(parser: argparse.ArgumentParser) -> None:
    from sightline.training.world import export

    export.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the images, and print a summary."""
    from sightline.training.world import export

    return export.run(arguments)
