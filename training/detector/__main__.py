"""``python -m sightline.training.detector``: draw, train, export and evaluate."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sightline.storage.errors import SightlineError
from sightline.training.detector.pipeline import Workshop
from sightline.training.detector.recipe import SMOKE, Recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return 2 and print a message on an error."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr, force=True
    )
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = SMOKE if options.smoke else Recipe()
    given = {
        name: getattr(options, name)
        for name in ("pictures", "test_pictures", "steps", "seed")
        if getattr(options, name) is not None
    }
    out = options.out or options.runs / "weights"
    work = Workshop(options.runs, out, options.encoder, replace(recipe, **given), options.note)
    try:
        if options.stage in ("train", "all"):
            work.train()
        if options.stage in ("export", "all"):
            work.export()
        if options.stage in ("evaluate", "all"):
            print(work.evaluate())
    except SightlineError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sightline.training.detector",
        description="Train builtin-detector on the drawn world.",
    )
    parser.add_argument(
        "stage",
        nargs="?",
        default="all",
        choices=["all", "train", "export", "evaluate"],
        help="what to do (default: all in this order); train draws missing pictures first",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/detector"), help="pictures, states, checkpoint"
    )
    parser.add_argument("--out", type=Path, help="the model's folder (default: weights/ in --runs)")
    parser.add_argument(
        "--encoder", type=Path, required=True, help="the dual encoder whose towers it starts as"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--note", default="", help="what the model card should add on this run")
    parser.add_argument("--smoke", action="store_true", help="a small run of a few minutes")
    for name, text in (
        ("pictures", "how many training pictures to draw"),
        ("test-pictures", "how many test pictures to evaluate on"),
        ("steps", "steps of the optimizer"),
        ("seed", "of weights, order and phrases"),
    ):
        parser.add_argument(f"--{name}", type=int, help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
