"""``python -m sightline.training.encoder``: draw, train, export and evaluate."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from sightline.storage.errors import SightlineError
from sightline.training.encoder import hardware, pipeline
from sightline.training.encoder.evaluation.evaluate import table
from sightline.training.encoder.recipe import SMOKE, Recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return 2 and print a message on an error."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr, force=True
    )
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        work = pipeline.Workshop(
            runs=options.runs,
            out=options.out or options.runs / "weights",
            recipe=_recipe(options),
            device=hardware.pick_device(options.device),
            precision=options.precision,
            note=options.note,
            tower=options.tower,
            start=options.start,
        )
        _do(options.stage, work)
    except SightlineError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _do(stage: str, work: pipeline.Workshop) -> None:
    match stage:
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


def _recipe(options: argparse.Namespace) -> Recipe:
    recipe = SMOKE if options.smoke else Recipe()
    given = {
        name: getattr(options, name)
        for name in ("pictures", "test_pictures", "steps", "batch", "seed")
        if getattr(options, name) is not None
    }
    return replace(recipe, **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sightline.training.encoder",
        description="Train builtin-clip on the drawn world. A run that was broken off goes on "
        "where its last checkpoint is.",
    )
    parser.add_argument(
        "stage",
        nargs="?",
        default="all",
        choices=["all", "draw", "train", "export", "queries", "reference", "evaluate"],
        help="what to do (default: all in this order); queries goes on from the model in --out",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/encoder"), help="pictures, checkpoint"
    )
    parser.add_argument("--out", type=Path, help="the model's folder (default: weights/ in --runs)")
    parser.add_argument(
        "--tower", type=Path, help="the LLaVA whose vision tower the picture tower starts as"
    )
    parser.add_argument(
        "--start", type=Path, help="the encoder whose tokenizer and text tower to go on with"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--precision", choices=get_args(hardware.Precision), default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--note", default="", help="what the model card should add on this run")
    parser.add_argument("--smoke", action="store_true", help="a small run of about five minutes")
    for name, text in (
        ("pictures", "how many training pictures to draw"),
        ("test-pictures", "how many test pictures to evaluate on"),
        ("steps", "steps of the optimizer"),
        ("batch", "pictures a step"),
        ("seed", "of weights, order and augmentation"),
    ):
        parser.add_argument(f"--{name}", type=int, help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
