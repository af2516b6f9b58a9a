"""``python -m sightline.training.vlm``: train and evaluate the built-in LLaVA.

train --smoke --work runs/vlm-smoke --out runs/vlm-smoke/model     five-minute test run
train --work runs/vlm --out server/models/weights/builtin-llava
train --start server/models/weights/builtin-llava --work runs/vlm-2 --out runs/vlm-2/model
evaluate MODEL --images 1000 --report runs/vlm/report.json
card MODEL --work runs/vlm --report runs/vlm/report.json
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path

import torch

from sightline.training.vlm.evaluation.evaluate import MAX_QUESTIONS, evaluate
from sightline.training.vlm.evaluation.model_card import write_card
from sightline.training.vlm.recipe import FULL_RECIPE, SMOKE_RECIPE, train


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m sightline.training.vlm", description=__doc__)
    parser.add_argument(
        "--threads", type=int, default=0, help="number of CPU threads (0: torch default)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    commands = parser.add_subparsers(dest="command", required=True)
    train_parser = commands.add_parser(
        "train", help="draw, train and export; resumes an interrupted run"
    )
    train_parser.add_argument(
        "--work", type=Path, default=Path("runs/vlm"), help="albums and checkpoints"
    )
    train_parser.add_argument(
        "--out", type=Path, default=Path("runs/vlm/model"), help="exported model folder"
    )
    train_parser.add_argument(
        "--start", type=Path, help="continue training from this exported folder"
    )
    train_parser.add_argument(
        "--keep-tower",
        action="store_true",
        help="with --start: do not train the vision tower",
    )
    train_parser.add_argument(
        "--smoke", action="store_true", help="train a small model for a few minutes"
    )
    train_parser.add_argument("--images", type=int, help="number of training images")
    train_parser.add_argument("--minutes", type=float, help="total training time")
    train_parser.add_argument("--rate", type=float, help="learning rate of the last stage")
    train_parser.add_argument(
        "--reworded", type=float, help="share of questions in other wordings, 0 to 1"
    )
    train_parser.add_argument("--seed", type=int, default=0)
    evaluate_parser = commands.add_parser("evaluate", help="compute metrics on held-out images")
    evaluate_parser.add_argument("model", type=Path)
    evaluate_parser.add_argument("--images", type=int, default=1000)
    evaluate_parser.add_argument(
        "--questions", type=int, default=MAX_QUESTIONS, help="maximum number per image"
    )
    evaluate_parser.add_argument("--split", choices=("validation", "test"), default="test")
    evaluate_parser.add_argument("--report", type=Path, required=True)
    card_parser = commands.add_parser("card", help="write MODEL_CARD.md from a report")
    card_parser.add_argument("model", type=Path)
    card_parser.add_argument("--work", type=Path, required=True)
    card_parser.add_argument("--report", type=Path, required=True)
    card_parser.add_argument("--note", default="", help="additional text about this checkpoint")
    arguments = parser.parse_args(argv)
    if arguments.command == "train" and arguments.keep_tower and arguments.start is None:
        parser.error("--keep-tower needs --start: without it there is no trained tower.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    if arguments.command == "train":
        recipe = SMOKE_RECIPE if arguments.smoke else FULL_RECIPE
        recipe = replace(
            recipe,
            images=arguments.images or recipe.images,
            minutes=arguments.minutes or recipe.minutes,
            tune_rate=arguments.rate or recipe.tune_rate,
            reworded=recipe.reworded if arguments.reworded is None else arguments.reworded,
        )
        train(
            recipe,
            arguments.work,
            arguments.out,
            device,
            arguments.seed,
            arguments.start,
            keep_tower=arguments.keep_tower,
        )
    elif arguments.command == "evaluate":
        metrics = evaluate(
            arguments.model, arguments.split, arguments.images, device, arguments.questions
        )
        text = json.dumps(metrics, indent=1, ensure_ascii=False)
        arguments.report.write_text(text + "\n", encoding="utf-8")
        print(text)
    else:
        report = json.loads(arguments.report.read_text(encoding="utf-8"))
        write_card(arguments.model, arguments.work, report, arguments.note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
