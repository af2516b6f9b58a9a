"""Score answers against references and average them with 95% intervals.

Citations are scored as in ALCE (Gao et al., EMNLP 2023), but by the known source files and not by
a language model. Recall is the share of claims that cite at least one file that shows the answer;
precision is the share of citations to such files. A claim is faithful if it cites such a file and
the answer is correct. Claims with the verdict ``contradicted`` and claims of results without an
answer are not scored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Final

import numpy as np

from sightline.server.evaluation.answers.eval_questions import EvalQuestion
from sightline.server.evaluation.bootstrap import Estimate, bootstrap_mean, bootstrap_ratio
from sightline.storage.types import Box
from sightline.tools.answers.answer_results import AnswerResult, ClaimResult
from sightline.tools.answers.text_matching import normalize
from sightline.tools.boxes.geometry import iou

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


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """Scores of one answer. Shares are 0 to 1, or NaN if they do not apply.

    ``box_iou`` is the IoU with the reference box. ``features`` are the inputs of ``confidence``.
    ``verdicts`` has the verdict of each scored claim and whether the claim is faithful.
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


def normalize_answer(text: str) -> str:
    """Normalize case, articles, punctuation, numerals and times (``05:40``)."""
    words = normalize(_LEADING_ZERO_OF_TIME.sub("", text)).split()
    return " ".join(_NUMERALS.get(word, word) for word in words if word not in _ARTICLES)


def exact_match(answer: str | None, references: Sequence[str]) -> bool:
    """Return whether the normalized answer equals a normalized reference."""
    if answer is None:
        return False
    return normalize_answer(answer) in {normalize_answer(each) for each in references}


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
    abstained = result.status in ("not_shown", "ambiguous")
    claims = [each for each in result.claims if each.verdict != "contradicted" and not abstained]
    # For each claim, whether each of its citations is to a source of the answer.
    cited = [[assets.get(number) in sources for number in each.citations] for each in claims]
    box_iou = _box_iou(question, claims, cited)
    answer = result.answer
    if not question.is_answerable:
        correct = abstained
        # No file shows an answer that does not exist.
        cited = [[False] * max(len(each), 1) for each in cited]
        vqa = float(correct)
    elif question.answer_is_box:
        correct = answer is not None and box_iou >= IOU_THRESHOLD
        vqa = float(correct)
    else:
        correct = exact_match(answer, question.answers)
        vqa = vqa_accuracy(answer, question.answers)
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
    )


def _box_iou(question: EvalQuestion, claims: list[ClaimResult], cited: list[list[bool]]) -> float:
    """Return the IoU of the first claim's box; 0 without a box or in another image."""
    if question.box is None:
        return nan
    for claim, flags in zip(claims, cited, strict=True):
        if claim.box is not None and flags and flags[0]:
            return iou(_box(claim.box), _box(question.box))
    return 0.0


def _box(values: list[float]) -> Box:
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
    metrics = {
        "accuracy": _mean(scores, [each.correct for each in scores]),
        "answer rate": _mean(scores, [not each.abstained for each in scores]),
        "ambiguous rate": _mean(scores, [each.status == "ambiguous" for each in scores]),
        "accuracy when answered": _mean(answered, [each.correct for each in answered]),
        "exact match": _mean(text, [each.correct for each in text]),
        "VQA accuracy": _mean(text, [each.vqa_accuracy for each in text]),
        "location accuracy (IoU 0.5)": _mean(box_answers, [each.correct for each in box_answers]),
        "box IoU": _mean(boxed, [each.box_iou for each in boxed]),
        "box acc@0.5": _mean(boxed, [each.box_iou >= IOU_THRESHOLD for each in boxed]),
        "citation precision": _mean(claimed, [each.citation_precision for each in claimed]),
        "citation recall": _mean(claimed, [each.citation_recall for each in claimed]),
        "claim faithfulness": _mean(claimed, [each.faithfulness for each in claimed]),
    }
    return metrics | _abstention(scores)


def faithfulness_by_verdict(scores: Sequence[AnswerScore]) -> Mapping[str, Estimate]:
    """Return the share of faithful claims for each verdict."""
    claims = [(verdict, each, faithful) for each in scores for verdict, faithful in each.verdicts]
    return {
        name: _mean(
            [each for verdict, each, _ in claims if verdict == name],
            [faithful for verdict, _, faithful in claims if verdict == name],
        )
        for name in sorted({verdict for verdict, _, _ in claims})
    }


def mean_ratings(scores: Sequence[AnswerScore]) -> Mapping[str, Estimate]:
    """Return the mean of each rating of the judge, 1 to 5; empty without ratings."""
    rated = [(each, each.ratings) for each in scores if each.ratings is not None]
    names = dict.fromkeys(name for _, ratings in rated for name in ratings)
    answers = [each for each, _ in rated]
    return {name: _mean(answers, [ratings[name] for _, ratings in rated]) for name in names}


def _abstention(scores: Sequence[AnswerScore]) -> dict[str, Estimate]:
    expected = np.array([not each.question.is_answerable for each in scores])
    actual = np.array([each.abstained for each in scores])
    hits, missed, wrong = expected & actual, expected & ~actual, ~expected & actual
    topics = _topics(scores)
    return {
        "abstention precision": bootstrap_ratio(hits, hits | wrong, topics),
        "abstention recall": bootstrap_ratio(hits, hits | missed, topics),
        "abstention F1": bootstrap_ratio(2.0 * hits, 2.0 * hits + missed + wrong, topics),
    }


def _mean(scores: Sequence[AnswerScore], values: Sequence[float]) -> Estimate:
    return bootstrap_mean(values, _topics(scores))


def _topics(scores: Sequence[AnswerScore]) -> list[str]:
    return [each.question.topic or each.question.id or each.question.question for each in scores]
