"""``python -m sightline.server.evaluation.answers``: what the documents say of answers, made again.

``calibrate``  fits the confidence of the built-in model's answers on the drawn world's validation
               split and writes it into the package
``test``       asks about the test split in three settings; the table, the reliability diagram
``hostile``    how often orders in pictures and passages turn answers
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sightline.server.evaluation import markdown
from sightline.server.evaluation.answers import calibration, drawn, hostile, place, presenting
from sightline.server.evaluation.answers.asking import SETTINGS, Setting
from sightline.server.evaluation.answers.evaluating import every_setting
from sightline.server.evaluation.answers.scores import Score
from sightline.server.evaluation.report import Report, Section
from sightline.server.vlm.app import BUILTIN
from sightline.tools.grounding import confidence
from sightline.training.world.scene import Split

CALIBRATION = Path(confidence.__file__).parent / confidence.FOLDER / f"{BUILTIN.name}.json"
DIAGRAM = "reliability.png"
ANSWERS = "answers.jsonl"


def main() -> int:
    """Run one of the measurements; tables go to stdout."""
    parser = argparse.ArgumentParser(prog="sightline.server.evaluation.answers")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, pictures in (("calibrate", 90), ("test", 72)):
        command = commands.add_parser(name)
        command.add_argument("--pictures", type=int, default=pictures)
        command.add_argument("--each", type=int, default=4, help="questions about each picture")
        command.add_argument("--out", type=Path, default=Path())
    commands.add_parser("hostile")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sightline-answers-") as folder:
        return asyncio.run(_run(arguments, Path(folder)))


async def _run(arguments: argparse.Namespace, folder: Path) -> int:
    if arguments.command == "hostile":
        _say([presenting.turned(hostile.rates(await hostile.measure(folder)))])
        return 0
    if arguments.command == "calibrate":
        scores = await _drawn(arguments, folder, "validation", ("given", "sightline"))
        (arguments.out / ANSWERS).write_text(presenting.rows(scores), encoding="utf-8")
        pooled = [score for each in scores.values() for score in each]
        right = sum(score.right for score in pooled) / len(pooled)
        made = {
            "by": "python -m sightline.server.evaluation.answers calibrate",
            "weights_sha256": calibration.fingerprint(BUILTIN / "model.safetensors"),
            "answers": len(pooled),
            "right": round(right, 4),
            "split": "validation",
            "settings": list(scores),
        }
        calibration.write(CALIBRATION, BUILTIN.name, calibration.fit(pooled), made)
        sys.stdout.write(f"{len(pooled)} answers, {right:.2f} of them right: {CALIBRATION}\n")
        return 0
    scores = await _drawn(arguments, folder, "test", SETTINGS)
    (arguments.out / ANSWERS).write_text(presenting.rows(scores), encoding="utf-8")
    sections = [presenting.section(scores)]
    rated = [s for each in scores.values() for s in each if s.confidence is not None]
    if rated:
        found = calibration.reliability(
            [score.confidence or 0.0 for score in rated], [score.right for score in rated]
        )
        calibration.draw(found, arguments.out / DIAGRAM)
        sections.append(presenting.confidence(found))
    _say(sections)
    return 0


async def _drawn(
    arguments: argparse.Namespace, folder: Path, split: Split, settings: Sequence[Setting]
) -> dict[Setting, list[Score]]:
    questions = drawn.make(folder, split, pictures=arguments.pictures, each=arguments.each)
    async with place.opened(folder, folder / drawn.ALBUM, drawn.COLLECTION) as deps:
        sources = await place.sources(deps, questions, drawn.COLLECTION)
        return await every_setting(deps, questions, sources, settings, drawn.COLLECTION, _tell)


def _tell(done: int, of: int) -> None:
    sys.stderr.write(f"\r{done} of {of} answers" + "\n" * (done == of))
    sys.stderr.flush()


def _say(sections: Sequence[Section]) -> None:
    sys.stdout.write(markdown.write(Report("Answers about the drawn world", [], sections)))


if __name__ == "__main__":
    sys.exit(main())
