"""What one answer is worth, once its truth is known.

Citations are judged as in ALCE (Gao et al., EMNLP 2023), by which picture or text shows the answer
instead of by a language model: *recall* is the share of claims that cite something that shows it,
*precision* the share of citations that do. A claim is *faithful* where it says what is so and cites
what shows it. Claims with the verdict ``contradicted`` are withdrawn and not counted, nor are those
of a result that gives no answer, such as readings of an ambiguous question.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from math import nan

from sightline.server.evaluation.answers.answer_match import exact, vqa_accuracy
from sightline.server.evaluation.answers.eval_questions import Question
from sightline.tools.answers.answer_results import AnswerResult, ClaimResult
from sightline.tools.boxes.geometry import Box, iou

SAME_PLACE = 0.5


@dataclass(frozen=True, slots=True)
class Score:
    """Shares are 0 to 1, not a number where they do not apply.

    ``overlap`` is the IoU with the true box. ``confidence`` is the answer's own; ``features`` what
    that rests on. ``verdicts`` are those of the claims that stand, each with whether it is right.
    """

    question: Question
    status: str
    said: str | None
    right: bool
    vqa: float
    abstained: bool
    citation_recall: float = nan
    citation_precision: float = nan
    faithful: float = nan
    overlap: float = nan
    confidence: float | None = None
    features: dict[str, float] = field(default_factory=dict)
    verdicts: tuple[tuple[str, bool], ...] = ()
    marks: dict[str, int] | None = None


def score(
    question: Question, result: AnswerResult, sources: Collection[str], features: dict[str, float]
) -> Score:
    """Judge a result; ``sources`` are the ids of the assets that show the answer."""
    on = {item.n: None if item.on is None else item.on.asset for item in result.evidence}
    abstained = result.status in ("not_shown", "ambiguous")
    standing = [each for each in result.claims if each.verdict != "contradicted" and not abstained]
    shows = [[on.get(number) in sources for number in each.cites] for each in standing]
    overlap = _overlap(question, standing, shows)
    said = result.answer
    right = _is_right(question, said, overlap) if question.is_answerable else abstained
    cited = [flag for each in shows for flag in each]
    if not question.is_answerable:
        # Nothing shows an answer that there is none of, whatever is cited for it.
        shows, cited = [[False] for _ in standing], [False for _ in standing]
    good = [any(each) and right for each in shows]
    vqa = float(right) if question.place else vqa_accuracy(said, question.answers)
    return Score(
        question=question,
        status=result.status,
        said=said,
        right=right,
        vqa=vqa if question.is_answerable else float(right),
        abstained=abstained,
        citation_recall=_share([any(each) for each in shows]),
        citation_precision=_share(cited),
        faithful=_share(good),
        overlap=overlap,
        confidence=result.confidence,
        features=features,
        verdicts=tuple((each.verdict, ok) for each, ok in zip(standing, good, strict=True)),
    )


def _is_right(question: Question, said: str | None, overlap: float) -> bool:
    if question.place:
        return said is not None and overlap >= SAME_PLACE
    return exact(said, question.answers)


def _overlap(question: Question, standing: list[ClaimResult], shows: list[list[bool]]) -> float:
    """Of the first claim's box with the true one; 0 without a box or in another picture."""
    if question.box is None:
        return nan
    for claim, flags in zip(standing, shows, strict=True):
        if claim.box is not None and flags and flags[0]:
            return iou(_box(claim.box), _box(question.box))
    return 0.0


def _box(values: list[float]) -> Box:
    return values[0], values[1], values[2], values[3]


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else nan
