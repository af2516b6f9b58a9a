"""``python -m sightline.training.encoder``: draw, train, export and evaluate."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

from sightline.training.encoder import hardware, pipeline
from sightline.training.encoder.command_options import (
    add_run_options,
    choose_recipe,
    out_folder,
    run_stages,
)
from sightline.training.encoder.evaluation.evaluate import table
from sightline.training.encoder.recipe import SMOKE, Recipe

_COUNTS: Final = {
    "pictures": "how many training pictures to draw",
    "test_pictures": "how many test pictures to evaluate on",
    "steps": "steps of the optimizer",
    "batch": "pictures a step",
    "seed": "of weights, order and augmentation",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return 2 and print a message on an error."""
    options = _parser().parse_args(arguments)
    return run_stages(options, lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    work = pipeline.Workshop(
        runs=options.runs,
        out=out_folder(options),
        recipe=choose_recipe(options, Recipe(), SMOKE, _COUNTS),
        device=hardware.pick_device(options.device),
        precision=options.precision,
        note=options.note,
        tower=options.tower,
        start=options.start,
    )
    match options.stage:
        case "draw":
            work.draw()
        case "train":
            work.draw()
            work.train()
        case "export":
            work.export()
        case "queries":
            work.queries()
        case "reference":
            work.reference()
        case "evaluate":
            _show(work.evaluate())
        case _:
            work.draw()
            work.train()
            work.export()
            work.queries()
            work.reference()
            _show(work.evaluate())


def _show(figures: dict[str, Any]) -> None:
    print(table(figures))
    print(json.dumps(figures["speed"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sightline.training.encoder",
        description="Train builtin-clip on the drawn world. A run that was broken off goes on "
        "where its last checkpoint is.",
    )
    add_run_options(
        parser,
        ["draw", "train", "export", "queries", "reference", "evaluate"],
        stage_help="queries goes on from the model in --out",
        runs=Path("runs/encoder"),
        counts=_COUNTS,
    )
    parser.add_argument(
        "--tower", type=Path, help="the LLaVA whose vision tower the picture tower starts as"
    )
    parser.add_argument(
        "--start", type=Path, help="the encoder whose tokenizer and text tower to go on with"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--precision", choices=get_args(hardware.Precision), default="auto")
    return parser


if __name__ == "__main__":
    sys.exit(main())
