"""Questions of a run file, and the scores of their answers with 95% intervals.

Citations are scored as in ALCE (Gao et al., EMNLP 2023), but by the known source files and not by
a language model. Recall is the share of claims that cite at least one file that shows the answer;
precision is the share of citations to such files. A claim is faithful if it cites such a file and
the answer is correct. Claims with the verdict ``contradicted`` and claims of results without an
answer are not scored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Annotated, Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from sightline.server.evaluation.bootstrap import Estimate, bootstrap_mean, bootstrap_ratio
from sightline.storage.types import Box
from sightline.tools.answers.answer_results import AnswerResult, ClaimResult
from sightline.tools.answers.text_matching import normalize
from sightline.tools.boxes.geometry import iou

NOT_SHOWN = frozenset({"not shown", "图中没有"})
"""Values of ``answer`` that mean: the evidence contains no answer."""

Coordinate = Annotated[float, Field(ge=0, le=1)]

IOU_THRESHOLD: Final = 0.5

_ARTICLES: Final = frozenset({"a", "an", "the"})
_ENGLISH_NUMERALS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_NUMERALS: Final = {
    word: str(number)
    for words in (_ENGLISH_NUMERALS, "零一二三四五六七八九十")
    for number, word in enumerate(words)
}
_LEADING_ZERO_OF_TIME: Final = re.compile(r"\b0(?=\d:\d\d\b)")
_VQA_AGREEING_ANSWERS: Final = 3


class EvalQuestion(BaseModel):
    """A question with its reference answers and the location of the answer.

    ``answer`` is one accepted answer or a list of them; "not shown" means that there is none.
    ``about`` is the search query if the question does not name its subject. ``sources`` are the
    files (as given at ingest, or the end of the path) that show the answer: they are the evidence
    of the oracle condition and the reference for citations. ``box`` (normalized x0, y0, x1, y1) is
    the location of the answer; with ``answer_is_box``, the box itself is the answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    question: Annotated[str, Field(min_length=1, max_length=2_000)]
    answer: str | list[str]
    about: Annotated[str, Field(max_length=2_000)] = ""
    sources: Annotated[list[str], Field(min_length=1)]
    box: Annotated[list[Coordinate], Field(min_length=4, max_length=4)] | None = None
    answer_is_box: bool = False
    collection: str | None = None
    filters: dict[str, JsonValue] | None = None
    topic: str | None = None
    groups: dict[str, str] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.answer_is_box and self.box is None:
            raise ValueError("answer_is_box needs a box; give box")
        if not self.answers:
            raise ValueError("answer is empty")
        return self

    @property
    def answers(self) -> tuple[str, ...]:
        """All accepted answers."""
        listed = [self.answer] if isinstance(self.answer, str) else self.answer
        return tuple(each for each in listed if each.strip())

    @property
    def is_answerable(self) -> bool:
        """Whether the evidence contains an answer."""
        return not any(each.strip().lower() in NOT_SHOWN for each in self.answers)


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """Scores of one answer. Shares are 0 to 1, or NaN if they do not apply.

    ``box_iou`` is the IoU with the reference box. ``features`` are the inputs of ``confidence``.
    ``verdicts`` has the verdict of each scored claim and whether the claim is faithful.
    ``draft_correct`` says whether the model was right, also if its answer was withheld.
    ``check_milliseconds`` has the time of each check that ran.
    """

    question: EvalQuestion
    status: str
    answer: str | None
    correct: bool
    vqa_accuracy: float
    abstained: bool
    citation_recall: float = nan
    citation_precision: float = nan
    faithfulness: float = nan
    box_iou: float = nan
    confidence: float | None = None
    features: dict[str, float] = field(default_factory=dict)
    verdicts: tuple[tuple[str, bool], ...] = ()
    ratings: dict[str, int] | None = None
    draft_correct: bool = False
    check_milliseconds: tuple[tuple[str, float], ...] = ()

    @property
    def withheld(self) -> bool:
        """Whether the model answered, and the checks withheld the answer."""
        return self.status == "uncertain"


def normalize_answer(text: str) -> str:
    """Normalize case, articles, punctuation, numerals and times (``05:40``)."""
    words = normalize(_LEADING_ZERO_OF_TIME.sub("", text)).split()
    return " ".join(_NUMERALS.get(word, word) for word in words if word not in _ARTICLES)


def exact_match(answer: str | None, references: Sequence[str]) -> bool:
    """Return whether the normalized answer equals a normalized reference."""
    return answer is not None and normalize_answer(answer) in map(normalize_answer, references)


def vqa_accuracy(answer: str | None, references: Sequence[str]) -> float:
    """Return the accuracy of the VQA challenge (Antol et al., ICCV 2015), 0 to 1.

    An answer that three annotators gave is fully correct; the mean is over leaving out one
    annotator. Fewer than three references are spellings and not votes: then it is `exact_match`.
    """
    if answer is None:
        return 0.0
    if len(references) < _VQA_AGREEING_ANSWERS:
        return float(exact_match(answer, references))
    normalized = normalize_answer(answer)
    same = [normalize_answer(each) == normalized for each in references]
    scores = [min((sum(same) - own) / _VQA_AGREEING_ANSWERS, 1.0) for own in same]
    return sum(scores) / len(scores)


def score_answer(
    question: EvalQuestion,
    result: AnswerResult,
    sources: Collection[str],
    features: dict[str, float],
) -> AnswerScore:
    """Score a result; ``sources`` are the ids of the assets that show the answer."""
    assets = {
        item.number: None if item.asset is None else item.asset.asset for item in result.evidence
    }
    abstained = result.status in ("not_shown", "ambiguous", "uncertain")
    claims = [each for each in result.claims if each.verdict != "contradicted" and not abstained]
    # For each claim, whether each of its citations is to a source of the answer.
    cited = [[assets.get(number) in sources for number in each.citations] for each in claims]
    box_iou = _box_iou(question, claims, cited)
    answer = result.answer
    if not question.is_answerable:
        correct = abstained
        # No file shows an answer that does not exist.
        cited = [[False] * max(len(each), 1) for each in cited]
    elif question.answer_is_box:
        correct = answer is not None and box_iou >= IOU_THRESHOLD
    else:
        correct = exact_match(answer, question.answers)
    draft_correct = correct
    if result.status == "uncertain":
        draft_correct = _is_draft_correct(question, result.claims, assets, sources)
    is_text = question.is_answerable and not question.answer_is_box
    vqa = vqa_accuracy(answer, question.answers) if is_text else float(correct)
    faithful = [any(each) and correct for each in cited]
    return AnswerScore(
        question=question,
        status=result.status,
        answer=answer,
        correct=correct,
        vqa_accuracy=vqa,
        abstained=abstained,
        citation_recall=_share([any(each) for each in cited]),
        citation_precision=_share([flag for each in cited for flag in each]),
        faithfulness=_share(faithful),
        box_iou=box_iou,
        confidence=result.confidence,
        features=features,
        verdicts=tuple((each.verdict, ok) for each, ok in zip(claims, faithful, strict=True)),
        draft_correct=draft_correct,
        check_milliseconds=tuple(
            (each.check, each.milliseconds)
            for claim in result.claims
            for each in claim.checks or ()
        ),
    )


def _is_draft_correct(
    question: EvalQuestion,
    claims: list[ClaimResult],
    assets: Mapping[int, str | None],
    sources: Collection[str],
) -> bool:
    """Return whether the first claim of a withheld answer is right."""
    if not claims or not question.is_answerable:
        return False
    if question.answer_is_box:
        cited = [[assets.get(number) in sources for number in claims[0].citations]]
        return _box_iou(question, claims[:1], cited) >= IOU_THRESHOLD
    return exact_match(claims[0].text, question.answers)


def _box_iou(question: EvalQuestion, claims: list[ClaimResult], cited: list[list[bool]]) -> float:
    """Return the IoU of the first claim's box; 0 without a box or in another image."""
    if question.box is None:
        return nan
    for claim, flags in zip(claims, cited, strict=True):
        if claim.box is not None and flags and flags[0]:
            return iou(_box(claim.box), _box(question.box))
    return 0.0


def _box(values: Sequence[float]) -> Box:
    return values[0], values[1], values[2], values[3]


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else nan


def summarize(scores: Sequence[AnswerScore]) -> Mapping[str, Estimate]:
    """Return every metric by name, in the order of the report."""
    answerable = [each for each in scores if each.question.is_answerable]
    text = [each for each in answerable if not each.question.answer_is_box]
    box_answers = [each for each in answerable if each.question.answer_is_box]
    boxed = [each for each in answerable if each.question.box is not None]
    claimed = [each for each in scores if not isnan(each.citation_recall)]
    answered = [each for each in scores if not each.abstained]
    means = {
        "accuracy": _mean((each, each.correct) for each in scores),
        "answer rate": _mean((each, not each.abstained) for each in scores),
        "ambiguous rate": _mean((each, each.status == "ambiguous") for each in scores),
        "accuracy when answered": _mean((each, each.correct) for each in answered),
        "exact match": _mean((each, each.correct) for each in text),
        "VQA accuracy": _mean((each, each.vqa_accuracy) for each in text),
        "location accuracy (IoU 0.5)": _mean((each, each.correct) for each in box_answers),
        "box IoU": _mean((each, each.box_iou) for each in boxed),
        "box acc@0.5": _mean((each, each.box_iou >= IOU_THRESHOLD) for each in boxed),
        "citation precision": _mean((each, each.citation_precision) for each in claimed),
        "citation recall": _mean((each, each.citation_recall) for each in claimed),
        "claim faithfulness": _mean((each, each.faithfulness) for each in claimed),
    }
    drafts = [each for each in scores if not each.abstained or each.withheld]
    means |= {
        "wrong answers withheld": _mean((e, e.withheld) for e in drafts if not e.draft_correct),
        "right answers withheld": _mean((e, e.withheld) for e in drafts if e.draft_correct),
    }
    expected = np.array([not each.question.is_answerable for each in scores])
    # To withhold a wrong answer is no wrong abstention.
    actual = np.array(
        [
            each.abstained
            and (not each.question.is_answerable or not each.withheld or each.draft_correct)
            for each in scores
        ]
    )
    hits, missed, wrong = expected & actual, expected & ~actual, ~expected & actual
    topics = [_topic(each) for each in scores]
    return means | {
        "abstention precision": bootstrap_ratio(hits, hits | wrong, topics),
        "abstention recall": bootstrap_ratio(hits, hits | missed, topics),
        "abstention F1": bootstrap_ratio(2.0 * hits, 2.0 * hits + missed + wrong, topics),
    }


def faithfulness_by_verdict(scores: Sequence[AnswerScore]) -> Mapping[str, Estimate]:
    """Return the share of faithful claims for each verdict."""
    claims = [(verdict, each, faithful) for each in scores for verdict, faithful in each.verdicts]
    return {
        name: _mean((each, faithful) for verdict, each, faithful in claims if verdict == name)
        for name in sorted({verdict for verdict, _, _ in claims})
    }


def mean_ratings(scores: Sequence[AnswerScore]) -> Mapping[str, Estimate]:
    """Return the mean of each rating of the judge, 1 to 5; empty without ratings."""
    names = dict.fromkeys(name for each in scores for name in each.ratings or ())
    return {
        name: _mean((each, each.ratings[name]) for each in scores if each.ratings is not None)
        for name in names
    }


def _mean(values: Iterable[tuple[AnswerScore, float]]) -> Estimate:
    pairs = list(values)
    return bootstrap_mean([value for _, value in pairs], [_topic(each) for each, _ in pairs])


def _topic(score: AnswerScore) -> str:
    return score.question.topic or score.question.id or score.question.question
