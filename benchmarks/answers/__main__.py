"""Reproduce the answer figures of the docs: ``python -m benchmarks.answers``.

``calibrate``  fits the confidence of the built-in model on the validation split of the synthetic
               world and writes it into the package
``test``       measures answers about the test split under several evidence conditions; prints the
               tables and writes the reliability diagram
``free``       measures answers to handwritten questions in free wording
``injection``  measures how often answers follow instructions in images and passages
``liar``       measures how many lies of a strong model the checks detect
``real``       asks about real pictures, which are not in the repository
``vocabulary`` writes the words that the built-in detector knows into the package
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from benchmarks.answers import (
    album_tools,
    calibration,
    free_wordings,
    injection_benchmark,
    liar_benchmark,
    real_benchmark,
    sections,
    synthetic_questions,
)
from sightline.server.evaluation.ablation import CONDITIONS, Condition, evaluate_questions
from sightline.server.evaluation.answer_metrics import AnswerScore
from sightline.server.evaluation.answer_sections import answer_section, answer_to_json
from sightline.server.evaluation.calibration import confidence_fit
from sightline.server.evaluation.report_model import EvalReport, ReportSection, render_markdown
from sightline.server.models.detection.loading import BUILTIN_FOLDER as DETECTOR_FOLDER
from sightline.server.models.vision_language.builtin.llava_model import BUILTIN_FOLDER
from sightline.tools import answers
from sightline.tools.answers.rating.confidence import FOLDER
from sightline.training.world.core.scene import Split

TEXTURES = Path(answers.__file__).parent / "checks" / "known_textures.json"
_CALIBRATIONS = Path(answers.__file__).parent / FOLDER
CALIBRATION = _CALIBRATIONS / f"{BUILTIN_FOLDER.name}.json"
VOCABULARY = _CALIBRATIONS / f"{DETECTOR_FOLDER.name}.json"
DIAGRAM = "reliability.png"
ANSWERS = "answers.jsonl"
#: Share of the questions in other wordings when the confidence is fitted.
_REWORDED = 0.5

Scores = Mapping[Condition, Sequence[AnswerScore]]


def main() -> int:
    """Run one of the measurements and print its tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.answers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, images, conditions in (
        ("calibrate", 90, ("oracle", "retrieved")),
        ("test", 108, (*CONDITIONS, "retrieved_no_about")),
    ):
        command = commands.add_parser(name)
        command.add_argument("--images", type=int, default=images)
        command.add_argument("--per-image", type=int, default=4, help="questions per image")
        command.add_argument(
            "--conditions", nargs="+", choices=get_args(Condition), default=conditions
        )
        command.add_argument("--out", type=Path, default=Path())
        command.add_argument("--work", type=Path, help="keep the database of the album here")
    free = commands.add_parser("free")
    free.add_argument(
        "--conditions",
        nargs="+",
        choices=get_args(Condition),
        default=("oracle", "retrieved", "retrieved_no_about"),
    )
    free.add_argument("--out", type=Path, default=Path())
    free.add_argument("--work", type=Path, help="keep the database of the album here")
    commands.add_parser("injection").set_defaults(work=None)
    liar = commands.add_parser("liar")
    liar.add_argument("--images", type=int, default=60)
    liar.add_argument("--per-image", type=int, default=6, help="questions per image")
    liar.add_argument("--work", type=Path, help="keep the database of the album here")
    real = commands.add_parser("real")
    real.add_argument("pictures", type=Path, help="folder with groceries, photos and receipts")
    real.add_argument("--work", type=Path, help="keep the database of the pictures here")
    commands.add_parser("vocabulary")
    arguments = parser.parse_args()
    if arguments.command == "vocabulary":
        VOCABULARY.write_text(calibration.detector_vocabulary(), encoding="utf-8")
        sys.stderr.write(f"Wrote {VOCABULARY}\n")
        return 0
    if "out" in arguments:
        arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sightline-answers-") as folder:
        asyncio.run(_run(arguments, arguments.work or Path(folder)))
    return 0


async def _run(arguments: argparse.Namespace, folder: Path) -> None:
    if arguments.command == "injection":
        results = await injection_benchmark.run_cases(folder)
        _print([sections.injection_section(injection_benchmark.count_results(results))])
    elif arguments.command == "liar":
        found = await liar_benchmark.run_lies(
            folder, arguments.images, arguments.per_image, _progress
        )
        _print([sections.counts_section("Lies", liar_benchmark.count_lies(found))])
    elif arguments.command == "real":
        answers = await real_benchmark.ask_questions(folder, arguments.pictures, _progress)
        _print(
            [
                sections.counts_section("Real pictures", real_benchmark.count_outcomes(answers)),
                sections.milliseconds_section(answers),
            ]
        )
    elif arguments.command == "free":
        await _ask_free_wordings(arguments, folder)
    elif arguments.command == "calibrate":
        album = folder / f"validation-{arguments.images}" / synthetic_questions.ALBUM
        scores = await _score(arguments, folder, "validation")
        TEXTURES.write_text(calibration.known_textures(album), encoding="utf-8")
        _calibrate(scores)
    else:
        _report(await _score(arguments, folder, "test"), arguments.out)


async def _ask_free_wordings(arguments: argparse.Namespace, folder: Path) -> None:
    questions = free_wordings.create(folder)
    collection = free_wordings.COLLECTION
    album = folder / free_wordings.ALBUM
    async with album_tools.open_dependencies(folder, album, collection) as deps:
        for condition in arguments.conditions:
            sys.stderr.write(f"{condition}:\n")
            scores = await evaluate_questions(
                deps, questions, collection, _progress, conditions=[condition]
            )
            _print([free_wordings.section(condition, scores[condition])])
            text = free_wordings.dump(scores[condition])
            (arguments.out / f"free-{condition}.jsonl").write_text(text, encoding="utf-8")


def _calibrate(scores: Scores) -> None:
    pooled = [score for each in scores.values() for score in each]
    provenance = {
        "command": shlex.join(["python", "-m", "benchmarks.answers", *sys.argv[1:]]),
        "weights_sha256": calibration.sha256_of(BUILTIN_FOLDER / "model.safetensors"),
        "split": "validation",
        "conditions": list(scores),
    }
    fitted = confidence_fit.calibrate(
        BUILTIN_FOLDER.name, pooled, provenance, synthetic_questions.known_words()
    )
    CALIBRATION.write_text(confidence_fit.to_json(fitted), encoding="utf-8")
    rated = [
        replace(each, confidence=fitted.confidence(each.features) if each.features else None)
        for each in pooled
    ]
    _print([sections.threshold_section(rated)])
    sys.stderr.write(f"Wrote {CALIBRATION}\n")


def _report(scores: Scores, out: Path) -> None:
    pooled = [score for each in scores.values() for score in each]
    parts = [answer_section(scores), sections.milliseconds_section(pooled)]
    # Without the subject, most questions are ambiguous: their confidence is not meaningful.
    rated = [
        score
        for condition, each in scores.items()
        if condition != "retrieved_no_about"
        for score in each
        if score.confidence is not None
    ]
    if rated:
        reliability = calibration.measure_reliability(
            [score.confidence or 0.0 for score in rated], [score.correct for score in rated]
        )
        calibration.draw_diagram(reliability, out / DIAGRAM)
        parts += [sections.reliability_section(reliability), sections.threshold_section(rated)]
    _print(parts)


async def _score(arguments: argparse.Namespace, folder: Path, split: Split) -> Scores:
    """Return scores by condition; save the answers after each condition."""
    folder = folder / f"{split}-{arguments.images}"
    questions = synthetic_questions.create(
        folder,
        split,
        images=arguments.images,
        per_image=arguments.per_image,
        reworded=_REWORDED if split == "validation" else 0.0,
    )
    collection = synthetic_questions.COLLECTION
    scores: dict[Condition, Sequence[AnswerScore]] = {}
    album = folder / synthetic_questions.ALBUM
    async with album_tools.open_dependencies(folder, album, collection) as deps:
        for condition in arguments.conditions:
            sys.stderr.write(f"{condition}:\n")
            scores |= await evaluate_questions(
                deps, questions, collection, _progress, conditions=[condition]
            )
            lines = [
                json.dumps({"condition": name, **answer_to_json(each)}, ensure_ascii=False)
                for name, answers in scores.items()
                for each in answers
            ]
            (arguments.out / ANSWERS).write_text("\n".join([*lines, ""]), encoding="utf-8")
    return scores


def _progress(done: int, total: int) -> None:
    sys.stderr.write(f"\r{done} of {total} answers" + "\n" * (done == total))
    sys.stderr.flush()


def _print(parts: Sequence[ReportSection]) -> None:
    report = EvalReport("Answers about the synthetic world", [], parts)
    sys.stdout.write(render_markdown(report))


if __name__ == "__main__":
    sys.exit(main())
