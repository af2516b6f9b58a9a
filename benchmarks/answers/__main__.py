"""``python -m sightline.server.evaluation.answers``: what the documents say of answers, made again.

``calibrate``  fits the confidence of the built-in model's answers on the drawn world's validation
               split and writes it into the package
``test``       asks about the test split in several settings; the tables, the reliability diagram
``hostile``    how often orders in pictures and passages turn answers
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from benchmarks.answers import (
    calibration,
    eval_server,
    injection_benchmark,
    synthetic_questions,
)
from sightline.server.evaluation import markdown_report
from sightline.server.evaluation.answers import answer_sections
from sightline.server.evaluation.answers.ablation import SETTINGS, Setting, ask_all
from sightline.server.evaluation.answers.answer_metrics import Score
from sightline.server.evaluation.report_model import Report, Section
from sightline.server.models.model_server.builtin.openai_app import BUILTIN
from sightline.tools.answers import confidence
from sightline.tools.answers.confidence import Calibration
from sightline.training.world.core.picture import Split

CALIBRATION = Path(confidence.__file__).parent / confidence.FOLDER / f"{BUILTIN.name}.json"
DIAGRAM = "reliability.png"
ANSWERS = "answers.jsonl"


def main() -> int:
    """Run one of the measurements; tables go to stdout."""
    parser = argparse.ArgumentParser(prog="sightline.server.evaluation.answers")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, pictures, settings in (
        ("calibrate", 90, ("given", "sightline")),
        ("test", 108, (*SETTINGS, "unsaid")),
    ):
        command = commands.add_parser(name)
        command.add_argument("--pictures", type=int, default=pictures)
        command.add_argument("--each", type=int, default=4, help="questions about each picture")
        command.add_argument("--settings", nargs="+", choices=get_args(Setting), default=settings)
        command.add_argument("--out", type=Path, default=Path())
        command.add_argument(
            "--work", type=Path, help="keeps the album's database: reading it takes minutes"
        )
    commands.add_parser("hostile").set_defaults(work=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sightline-answers-") as folder:
        return asyncio.run(_run(arguments, arguments.work or Path(folder)))


async def _run(arguments: argparse.Namespace, folder: Path) -> int:
    if arguments.command == "hostile":
        _say(
            [
                answer_sections.turned(
                    injection_benchmark.rates(await injection_benchmark.measure(folder))
                )
            ]
        )
    elif arguments.command == "calibrate":
        _calibrate(await _drawn(arguments, folder, "validation"))
    else:
        _report(await _drawn(arguments, folder, "test"), arguments.out)
    return 0


def _calibrate(scores: Mapping[Setting, Sequence[Score]]) -> None:
    pooled = [score for each in scores.values() for score in each]
    made = {
        "by": "python -m sightline.server.evaluation.answers calibrate",
        "weights_sha256": calibration.fingerprint(BUILTIN / "model.safetensors"),
        "answers": len(pooled),
        "right": round(sum(score.right for score in pooled) / len(pooled), 4),
        "split": "validation",
        "settings": list(scores),
    }
    intercept, weights = calibration.fit(pooled)
    calibration.write(CALIBRATION, BUILTIN.name, (intercept, weights), made)
    fitted = Calibration(BUILTIN.name, intercept, weights, made)
    rated = [
        replace(each, confidence=fitted.confidence(each.features) if each.features else None)
        for each in pooled
    ]
    _say([answer_sections.thresholds(rated)])
    sys.stderr.write(f"written: {CALIBRATION}\n")


def _report(scores: Mapping[Setting, Sequence[Score]], out: Path) -> None:
    sections = [answer_sections.section(scores)]
    # Where nobody could know which picture is meant, being right is luck.
    told = [s for setting, each in scores.items() if setting != "unsaid" for s in each]
    rated = [score for score in told if score.confidence is not None]
    if rated:
        found = calibration.reliability(
            [score.confidence or 0.0 for score in rated], [score.right for score in rated]
        )
        calibration.draw(found, out / DIAGRAM)
        sections += [answer_sections.confidence(found), answer_sections.thresholds(rated)]
    _say(sections)


async def _drawn(
    arguments: argparse.Namespace, folder: Path, split: Split
) -> dict[Setting, list[Score]]:
    """Scores by setting; the answers are written down as each setting is done."""
    folder = folder / f"{split}-{arguments.pictures}"
    questions = synthetic_questions.make(
        folder, split, pictures=arguments.pictures, each=arguments.each
    )
    scores: dict[Setting, list[Score]] = {}
    async with eval_server.opened(
        folder, folder / synthetic_questions.ALBUM, synthetic_questions.COLLECTION
    ) as deps:
        sources = await eval_server.sources(deps, questions, synthetic_questions.COLLECTION)
        for setting in arguments.settings:
            sys.stderr.write(f"{setting}:\n")
            scores[setting] = await ask_all(
                deps,
                questions,
                setting,
                sources,
                collection=synthetic_questions.COLLECTION,
                progress=_tell,
            )
            (arguments.out / ANSWERS).write_text(answer_sections.rows(scores), encoding="utf-8")
    return scores


def _tell(done: int, of: int) -> None:
    sys.stderr.write(f"\r{done} of {of} answers" + "\n" * (done == of))
    sys.stderr.flush()


def _say(sections: Sequence[Section]) -> None:
    sys.stdout.write(markdown_report.write(Report("Answers about the drawn world", [], sections)))


if __name__ == "__main__":
    sys.exit(main())
