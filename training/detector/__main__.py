"""``python -m sightline.training.detector``: draw, train, export and evaluate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sightline.training.detector.pipeline import Workshop
from sightline.training.detector.recipe import SMOKE, Recipe
from sightline.training.encoder.command_options import (
    add_run_options,
    choose_recipe,
    out_folder,
    run_stages,
)

_COUNTS: Final = {
    "pictures": "how many training pictures to draw",
    "test_pictures": "how many test pictures to evaluate on",
    "steps": "steps of the optimizer",
    "seed": "of weights, order and phrases",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return 2 and print a message on an error."""
    options = _parser().parse_args(arguments)
    return run_stages(options, lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    recipe = choose_recipe(options, Recipe(), SMOKE, _COUNTS)
    work = Workshop(options.runs, out_folder(options), options.encoder, recipe, options.note)
    if options.stage in ("train", "all"):
        work.train()
    if options.stage in ("export", "all"):
        work.export()
    if options.stage in ("evaluate", "all"):
        print(work.evaluate())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sightline.training.detector",
        description="Train builtin-detector on the drawn world.",
    )
    add_run_options(
        parser,
        ["train", "export", "evaluate"],
        stage_help="train draws missing pictures first",
        runs=Path("runs/detector"),
        counts=_COUNTS,
    )
    parser.add_argument(
        "--encoder", type=Path, required=True, help="the dual encoder whose towers it starts as"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
