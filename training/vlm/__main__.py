"""``python -m sightline.training.vlm``: train the built-in LLaVA, and measure it.

train --smoke --work runs/vlm-smoke --out runs/vlm-smoke/model     five minutes, to see it learn
train --work runs/vlm --out server/models/weights/builtin-llava
train --start server/models/weights/builtin-llava --work runs/vlm-2 --out runs/vlm-2/model
evaluate MODEL --pictures 1000 --report runs/vlm/report.json
card MODEL --work runs/vlm --report runs/vlm/report.json
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path

import torch

from sightline.training.vlm.evaluation.evaluate import QUESTIONS, evaluate
from sightline.training.vlm.evaluation.model_card import write_card
from sightline.training.vlm.recipe import FULL, QUICK, train


def main(argv: list[str] | None = None) -> int:
    """Run one of the commands above."""
    parser = argparse.ArgumentParser(prog="python -m sightline.training.vlm", description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 lets torch choose")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train", help="draw, train, export; resumes what was begun")
    learn.add_argument("--work", type=Path, default=Path("runs/vlm"))
    learn.add_argument("--out", type=Path, default=Path("runs/vlm/model"))
    learn.add_argument("--start", type=Path, help="go on from this exported folder")
    learn.add_argument("--keep-tower", action="store_true", help="with --start: as it was")
    learn.add_argument("--smoke", action="store_true", help="a small model, a few minutes")
    learn.add_argument("--pictures", type=int)
    learn.add_argument("--minutes", type=float)
    learn.add_argument("--seed", type=int, default=0)
    measure = commands.add_parser("evaluate", help="figures on held-out pictures")
    measure.add_argument("model", type=Path)
    measure.add_argument("--pictures", type=int, default=1000)
    measure.add_argument("--questions", type=int, default=QUESTIONS, help="of each picture")
    measure.add_argument("--split", choices=("validation", "test"), default="test")
    measure.add_argument("--report", type=Path, required=True)
    card = commands.add_parser("card", help="write MODEL_CARD.md from a report")
    card.add_argument("model", type=Path)
    card.add_argument("--work", type=Path, required=True)
    card.add_argument("--report", type=Path, required=True)
    card.add_argument("--note", default="", help="what else to say of this checkpoint")
    arguments = parser.parse_args(argv)
    if arguments.command == "train" and arguments.keep_tower and arguments.start is None:
        parser.error("--keep-tower needs --start: a new tower knows nothing worth keeping")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    if arguments.command == "train":
        recipe = QUICK if arguments.smoke else FULL
        recipe = replace(
            recipe,
            pictures=arguments.pictures or recipe.pictures,
            minutes=arguments.minutes or recipe.minutes,
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
        figures = evaluate(
            arguments.model, arguments.split, arguments.pictures, device, arguments.questions
        )
        text = json.dumps(figures, indent=1, ensure_ascii=False)
        arguments.report.write_text(text + "\n", encoding="utf-8")
        print(text)
    else:
        report = json.loads(arguments.report.read_text(encoding="utf-8"))
        write_card(arguments.model, arguments.work, report, arguments.note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
