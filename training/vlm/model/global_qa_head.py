"""What is true of a picture as a whole: frequent questions that have few answers.

The truths of patches (see ``dense``) say nothing of a picture's light, paper or room. But many a
question is asked word for word of many pictures, and its answer is such a truth; so the mean of all
patches is taught to tell it, and the language model finds it wherever it looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sightline.training.vlm.data.album import Record

#: Of how many pictures a question must be asked, and an answer be true, to be taught.
_ASKED: Final = 0.012
_ANSWERED: Final = 8
_MOST_ANSWERS: Final = 14
#: What is read or looked for at a place is no truth of the whole; at least so many must be others.
_PLACED: Final = ("reading", "location", "unanswerable")
_OTHERS: Final = 0.2
Questions = dict[str, list[str]]


def questions_of(records: Sequence[Record]) -> Questions:
    """Questions (in English; the truth has no language) with their answers, frequent ones first."""
    answers: dict[str, Counter[str]] = {}
    others: Counter[str] = Counter()
    for record in records:
        for ask in record.asks if not record.crop else ():
            if ask.language == "en":
                answers.setdefault(ask.question, Counter())[ask.answer] += 1
                others[ask.question] += ask.kind not in _PLACED
    chosen: Questions = {}
    for question, counts in answers.items():
        kept = [answer for answer, count in counts.most_common() if count >= _ANSWERED]
        often = counts.total() >= _ASKED * len(records)
        if (
            often
            and 2 <= len(kept) <= _MOST_ANSWERS
            and others[question] >= _OTHERS * counts.total()
        ):
            chosen[question] = kept
    return chosen


class AskedHead(nn.Module):
    """One linear map from the mean of a picture's features to the answers of all questions."""

    def __init__(self, width: int, questions: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._starts = np.cumsum([0, *(len(answers) for answers in questions.values())]).tolist()
        self._known = {
            (question, answer): (index, place)
            for index, (question, answers) in enumerate(questions.items())
            for place, answer in enumerate(answers)
        }
        self.map = nn.Linear(width, self._starts[-1])

    def truths(self, records: Sequence[Record]) -> list[list[tuple[int, int]]]:
        """For each record: the questions that are asked of it and their answers, by number."""
        return [
            [self._known[q] for ask in r.asks if (q := (ask.question, ask.answer)) in self._known]
            for r in records
        ]

    def forward(
        self, features: Tensor, truths: Sequence[Sequence[tuple[int, int]]]
    ) -> tuple[Tensor, float]:
        """The cross entropy, summed over a picture's questions, and the share told rightly.

        ``features`` (pictures, patches, width); ``truths`` of the same pictures.
        """
        logits = self.map(features.mean(1)).float()
        asked: dict[int, list[tuple[int, int]]] = {}
        for row, known in enumerate(truths):
            for question, answer in known:
                asked.setdefault(question, []).append((row, answer))
        total, right, count = logits.sum() * 0.0, 0, 0
        for question, pairs in asked.items():
            rows, answers = zip(*pairs, strict=True)
            told = logits[list(rows), self._starts[question] : self._starts[question + 1]]
            target = torch.tensor(answers, device=logits.device)
            total = total + cross_entropy(told, target, reduction="sum")
            right += int((told.argmax(-1) == target).sum())
            count += len(pairs)
        return total / len(truths), right / max(count, 1)
