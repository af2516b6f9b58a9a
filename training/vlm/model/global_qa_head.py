"""Global QA head: answers frequent questions from the mean patch feature.

The patch targets (``data.patch_targets``) do not contain properties of the whole image such as
daylight, paper or room. Frequent questions with few answers ask for these properties. The head is
trained on them, so that patch features also contain global information.
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

#: Minimum share of images per question, and minimum number of images per answer.
_MIN_QUESTION_SHARE: Final = 0.012
_MIN_ANSWER_COUNT: Final = 8
_MAX_ANSWERS: Final = 14
#: Kinds of local questions, and the minimum share of other kinds.
_LOCAL_KINDS: Final = ("reading", "location", "unanswerable")
_MIN_OTHER_SHARE: Final = 0.2
Questions = dict[str, list[str]]


def select_questions(records: Sequence[Record]) -> Questions:
    """Select frequent English questions with their answers."""
    answers: dict[str, Counter[str]] = {}
    others: Counter[str] = Counter()
    for record in records:
        for qa in record.questions if not record.crop else ():
            if qa.language == "en":
                answers.setdefault(qa.question, Counter())[qa.answer] += 1
                others[qa.question] += qa.kind not in _LOCAL_KINDS
    chosen: Questions = {}
    for question, counts in answers.items():
        frequent = [answer for answer, count in counts.most_common() if count >= _MIN_ANSWER_COUNT]
        is_frequent = counts.total() >= _MIN_QUESTION_SHARE * len(records)
        if (
            is_frequent
            and 2 <= len(frequent) <= _MAX_ANSWERS
            and others[question] >= _MIN_OTHER_SHARE * counts.total()
        ):
            chosen[question] = frequent
    return chosen


class GlobalQaHead(nn.Module):
    """Linear head from the mean feature to the answers of all questions."""

    def __init__(self, width: int, questions: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._starts = np.cumsum([0, *(len(answers) for answers in questions.values())]).tolist()
        self._known = {
            (question, answer): (index, place)
            for index, (question, answers) in enumerate(questions.items())
            for place, answer in enumerate(answers)
        }
        self.map = nn.Linear(width, self._starts[-1])

    def targets(self, records: Sequence[Record]) -> list[list[tuple[int, int]]]:
        """Return (question index, answer index) pairs of each record."""
        return [
            [self._known[q] for qa in r.questions if (q := (qa.question, qa.answer)) in self._known]
            for r in records
        ]

    def forward(
        self, features: Tensor, targets: Sequence[Sequence[tuple[int, int]]]
    ) -> tuple[Tensor, float]:
        """Return the cross entropy, summed over questions per image, and accuracy.

        ``features`` (images, patches, width); ``targets`` of the same images.
        """
        logits = self.map(features.mean(1)).float()
        pairs_by_question: dict[int, list[tuple[int, int]]] = {}
        for row, known in enumerate(targets):
            for question, answer in known:
                pairs_by_question.setdefault(question, []).append((row, answer))
        total, correct, count = logits.sum() * 0.0, 0, 0
        for question, pairs in pairs_by_question.items():
            rows, answers = zip(*pairs, strict=True)
            answer_logits = logits[list(rows), self._starts[question] : self._starts[question + 1]]
            target = torch.tensor(answers, device=logits.device)
            total = total + cross_entropy(answer_logits, target, reduction="sum")
            correct += int((answer_logits.argmax(-1) == target).sum())
            count += len(pairs)
        return total / len(targets), correct / max(count, 1)
