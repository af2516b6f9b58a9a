"""Scenes for the checks: a drawn image, lines of text, and listed boxes of a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from PIL import Image

from sightline.storage.records.assets import Asset, AssetTextLine
from sightline.storage.types import Box
from sightline.tools.answers.answer_context import ImageEvidence
from sightline.tools.answers.checks.check_types import CheckResult
from sightline.tools.answers.checks.run_checks import run_checks
from sightline.tools.answers.checks.scene import Scene
from sightline.tools.answers.statements.statement_reader import read_statement
from tests.support.listed_detector import ListedDetector

Boxes = Mapping[str, Sequence[tuple[Box, float]]]
LEFT: Box = (0.1, 0.4, 0.3, 0.6)
RIGHT: Box = (0.6, 0.4, 0.8, 0.6)


@dataclass(frozen=True)
class TakenAt:
    """The capture time of an asset, which is all that the checks use of it."""

    captured_local: datetime | None = None
    captured_at: datetime | None = None


def scene(
    boxes: Boxes | None = None,
    lines: Sequence[tuple[str, Box]] = (),
    *,
    image: Image.Image | None = None,
    taken: datetime | None = None,
    known_words: frozenset[str] | None = None,
    drawn: bool = True,
) -> Scene:
    """Return a scene; without ``boxes`` it has no detector."""
    evidence = ImageEvidence(
        1,
        cast("Asset", TakenAt(taken)),
        image or Image.new("RGB", (200, 200), "white"),
        ocr_lines=tuple(AssetTextLine(text, box) for text, box in lines),
    )
    detector = None if boxes is None else ListedDetector(boxes)
    return Scene(evidence, detector, known_words, is_drawn=drawn)


async def check(
    question: str, claim: str, where: Scene, box: Box | None = None
) -> list[CheckResult]:
    """Return the results of the checks of a claim."""
    statement = read_statement(question, claim)
    assert statement is not None
    return await run_checks(statement, where, box)


async def outcome(question: str, claim: str, where: Scene, box: Box | None = None) -> str | None:
    """Return the outcome of the only check that applies, None if none does."""
    results = await check(question, claim, where, box)
    assert len(results) <= 1
    return results[0].outcome if results else None
