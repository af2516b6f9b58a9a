"""When an answer is the right one.

`exact` compares what wording leaves. `vqa_accuracy` is that of the VQA challenge (Antol et al.,
ICCV 2015): an answer that three of the people asked gave is wholly right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sightline.tools.answers.text_matching import plain

_ARTICLES: Final = frozenset({"a", "an", "the"})
_ENGLISH: Final = (
    *("zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_NUMERALS: Final = {word: str(number) for number, word in enumerate(_ENGLISH)} | {
    word: str(number) for number, word in enumerate("零一二三四五六七八九十")
}
_PEOPLE_WHO_AGREE: Final = 3
_CLOCK: Final = re.compile(r"\b0(?=\d:\d\d\b)")


def normalised(text: str) -> str:
    """Lower case, no articles or punctuation, numbers as digits, ``05:40`` as ``5:40``."""
    words = plain(_CLOCK.sub("", text)).split()
    kept = [_NUMERALS.get(word, word) for word in words if word not in _ARTICLES]
    return " ".join(kept)


def exact(answer: str | None, truths: Sequence[str]) -> bool:
    """Whether it is any of the right answers."""
    return answer is not None and normalised(answer) in {normalised(truth) for truth in truths}


def vqa_accuracy(answer: str | None, truths: Sequence[str]) -> float:
    """0 to 1, averaged over leaving out one of those asked at a time.

    Fewer than three answers are not people's votes but spellings of the truth: then it is `exact`.
    """
    if answer is None:
        return 0.0
    if len(truths) < _PEOPLE_WHO_AGREE:
        return float(exact(answer, truths))
    said = normalised(answer)
    same = [normalised(truth) == said for truth in truths]
    shares = [min((sum(same) - own) / _PEOPLE_WHO_AGREE, 1.0) for own in same]
    return sum(shares) / len(shares)
