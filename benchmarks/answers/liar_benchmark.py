"""Measure how many deliberate lies of a strong model the checks detect.

The model is a stub. It knows the true answers to the questions about the synthetic album, and lies
in one way for each kind: counts are off by one, relations and comparisons are reversed, colors and
words are invented, boxes are moved, and what is absent exists. Asked again, it repeats its lie. The
same model also tells the truth, which counts false alarms.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from PIL import Image

from benchmarks.answers import album_tools, synthetic_questions
from sightline.server.evaluation.answer_metrics import EvalQuestion
from sightline.server.evaluation.run_file import ProgressCallback
from sightline.storage.records import assets
from sightline.storage.retrieval.search_types import Selection
from sightline.tools.answer_question import answer_with_evidence
from sightline.tools.answers.statements.statement_reader import read_statement
from sightline.tools.answers.statements.written_values import read_count
from sightline.tools.boxes.geometry import Placement
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.vlm.vision_language_model import Reply, Request

COLORS: Final = {
    "en": ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black"),
    "zh": ("红色", "橙色", "黄色", "绿色", "蓝色", "紫色", "粉色", "棕色", "白色", "黑色"),
}
_OPPOSITES: Final = (
    *(("yes", "no"), ("是", "否"), ("left", "right"), ("左边", "右边"), ("above", "below")),
    *(("上面", "下面"), ("day", "night"), ("白天", "夜晚"), ("horizontal", "vertical")),
)
_WORDS: Final = ("MOTEL", "K-77", "LEMUR", "XB-1209", "Quartz")


@dataclass
class ScriptedLiar:
    """A `VisionLanguageModel` that answers with the script, and confirms it when asked again."""

    answer: str = ""
    box: Sequence[float] | None = None
    model: str = "liar"
    profile: Profile = field(default_factory=lambda: choose_profile("qwen3-vl"))

    async def ask(self, request: Request) -> Reply:
        """Return the scripted answer, or yes to a question with choices."""
        sizes = [part.size for part in request.parts if isinstance(part, Image.Image)]
        placements = tuple(Placement(s, s, (0.0, 0.0, float(s[0]), float(s[1]))) for s in sizes)
        if request.choices:
            return Reply("yes", "stop", self.model, 0.0, placements, choice="yes")
        box = None if self.box is None else [round(1000 * each) for each in self.box]
        claim = {"text": self.answer, "evidence": [1], "box": box, "quote": None}
        data = {"answer": self.answer, "claims": [claim], "missing": None, "interpretations": []}
        return Reply(json.dumps(data), "stop", self.model, 0.0, placements, data=data)


@dataclass(frozen=True, slots=True)
class LieResult:
    """What became of a lie or of a truth about one question."""

    kind: str
    is_lie: bool
    status: str
    verdict: str


def lie_about(question: EvalQuestion) -> tuple[str, list[float] | None] | None:
    """Return a false answer and its box, None if there is no such lie for the question."""
    rng = random.Random(f"lie/{question.id}")
    truth, kind = question.answers[0], question.groups["kind"]
    if kind == "location":
        return (truth, _moved(question.box)) if question.box else None
    for pair in _OPPOSITES:
        if truth.lower() in pair:
            return pair[1 - pair.index(truth.lower())], question.box
    if kind == "count" and (count := read_count(truth)) is not None:
        return str(count + 1 if count == 0 or rng.random() < 0.5 else count - 1), None
    colors = COLORS[question.groups["language"]]
    if kind == "attribute" and truth in (*colors, "grey", "灰色"):
        return rng.choice([each for each in colors if each != truth]), question.box
    if kind == "reading":
        digits = [place for place, each in enumerate(truth) if each.isdigit()]
        if digits:
            place = rng.choice(digits)
            other = str((int(truth[place]) + rng.randint(1, 8)) % 10)
            return truth[:place] + other + truth[place + 1 :], question.box
        return rng.choice(_WORDS), question.box
    statement = read_statement(question.question, truth)
    if kind == "comparison" and statement is not None and statement.other:
        return statement.other, None
    return None


def _moved(box: Sequence[float]) -> list[float]:
    """Return the box on the other side of the image."""
    x0, y0, x1, y1 = box
    dx = -x0 if (x0 + x1) / 2 > 0.5 else 1 - x1
    return [x0 + dx, y0, x1 + dx, y1]


async def run_lies(
    folder: Path, images: int, per_image: int, progress: ProgressCallback
) -> list[LieResult]:
    """Return the results of all lies, and of the truth about the same questions."""
    questions = synthetic_questions.create(folder, "test", images=images, per_image=per_image)
    collection = synthetic_questions.COLLECTION
    results: list[LieResult] = []
    lies = [(q, lie) for q in questions if q.is_answerable and (lie := lie_about(q)) is not None]
    album = folder / synthetic_questions.ALBUM
    async with album_tools.open_dependencies(folder, album, collection) as deps:
        async with deps.connection() as connection:
            names = {name for each, _ in lies for name in each.sources}
            found = await assets.find_by_filename(connection, names, collection)
        for done, (question, lie) in enumerate(lies, 1):
            (asset,) = (a.id for a in found if a.source.endswith(question.sources[0]))
            for is_lie, (text, box) in ((True, lie), (False, (question.answers[0], question.box))):
                answered, _ = await answer_with_evidence(
                    replace(deps, vlm=ScriptedLiar(text, box)),
                    question.question,
                    assets=[asset],
                    chosen=Selection(collections=(collection,)),
                )
                (claim,) = answered.result.claims
                kind = question.groups["kind"]
                results.append(LieResult(kind, is_lie, answered.result.status, claim.verdict))
            progress(done, len(lies))
    return results


def count_lies(results: Sequence[LieResult]) -> Mapping[str, Mapping[str, int]]:
    """Return the numbers of lies and truths by kind."""
    kinds = [*sorted({each.kind for each in results}), "all"]
    return {
        kind: _count([each for each in results if kind in (each.kind, "all")]) for kind in kinds
    }


def _count(results: Sequence[LieResult]) -> dict[str, int]:
    lies = [each for each in results if each.is_lie]
    truths = [each for each in results if not each.is_lie]
    return {
        "lies": len(lies),
        "detected": sum(each.status != "answered" for each in lies),
        "supported lies": sum(each.verdict == "supported" for each in lies),
        "supported truths": sum(each.verdict == "supported" for each in truths),
        "withheld truths": sum(each.status != "answered" for each in truths),
    }
