"""Options that the training commands of the encoder and of the detector share."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from sightline.storage.errors import SightlineError

R = TypeVar("R")


def add_run_options(
    parser: argparse.ArgumentParser,
    stages: Sequence[str],
    *,
    stage_help: str,
    runs: Path,
    counts: Mapping[str, str],
) -> None:
    """Add the stage, the folders, and an option for each number of the recipe in ``counts``."""
    parser.add_argument(
        "stage",
        nargs="?",
        default="all",
        choices=["all", *stages],
        help=f"what to do (default: all in this order); {stage_help}",
    )
    parser.add_argument("--runs", type=Path, default=runs, help="pictures, states, checkpoint")
    parser.add_argument("--out", type=Path, help="the model's folder (default: weights/ in --runs)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--note", default="", help="what the model card should add on this run")
    parser.add_argument("--smoke", action="store_true", help="a small run of a few minutes")
    for name, text in counts.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=text)


def out_folder(options: argparse.Namespace) -> Path:
    """Return the folder of the model."""
    folder: Path = options.out or options.runs / "weights"
    return folder


def choose_recipe(options: argparse.Namespace, full: R, smoke: R, counts: Mapping[str, str]) -> R:
    """Return the recipe with the numbers that were given."""
    given: dict[str, Any] = {
        name: value for name in counts if (value := getattr(options, name)) is not None
    }
    chosen: Any = smoke if options.smoke else full
    recipe: R = replace(chosen, **given)
    return recipe


def run_stages(options: argparse.Namespace, run: Callable[[], None]) -> int:
    """Set up logging and threads, and run. Return 2 and print a message on an error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr, force=True
    )
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        run()
    except SightlineError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
