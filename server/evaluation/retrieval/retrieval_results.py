"""What came out of a run: for each query the rankings and how good they were, and means of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.server.evaluation.bootstrap import Estimate, estimate
from sightline.server.evaluation.retrieval.eval_queries import Query, Task
from sightline.server.evaluation.retrieval.qrels import Judged
from sightline.server.evaluation.retrieval.ranked_systems import FUSED, RERANKED, Ranking
from sightline.server.evaluation.retrieval.retrieval_metrics import Values

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One query, what each system ranked, and how good that was, by system and measure."""

    judged: Judged
    ranking: Ranking
    scores: Mapping[str, Mapping[str, float]]

    @property
    def query(self) -> Query:
        """As the run file says it."""
        return self.judged.asked.query

    @property
    def id(self) -> str:
        """Its name in the report."""
        return self.judged.asked.id

    @property
    def topic(self) -> str:
        """What it shares with its twins in other languages."""
        return self.query.topic or f"query {self.id}"

    def place(self, system: str) -> int | None:
        """The place, from 1, of the first right key; ``None`` where the system found none."""
        grades = self.judged.grades
        ranked = self.ranking.keys(system)
        return next((n for n, key in enumerate(ranked, 1) if grades.get(key, 0) > 0), None)


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """All queries of one kind of search: they ask the same branches.

    ``systems`` are the names of the branches, then `FUSED`, and `RERANKED` where there is a
    reranker. ``clip`` is the CLIP score by kind of picture, of searches by words alone.
    """

    task: Task
    systems: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    clip: Mapping[str, Estimate]

    @property
    def branches(self) -> tuple[str, ...]:
        """The systems that are branches."""
        return tuple(name for name in self.systems if name not in (FUSED, RERANKED))

    @property
    def final(self) -> str:
        """The system that a caller is given."""
        return RERANKED if RERANKED in self.systems else FUSED

    def values(self, system: str, measure: str, among: Sequence[Outcome] | None = None) -> Values:
        """A measure of each outcome (of ``among``, all by default), of shape (n,)."""
        chosen = self.outcomes if among is None else among
        return np.array([each.scores[system][measure] for each in chosen], dtype=np.float64)

    def mean(self, system: str, measure: str, among: Sequence[Outcome] | None = None) -> Estimate:
        """The mean of a measure and its interval."""
        chosen = self.outcomes if among is None else among
        return estimate(self.values(system, measure, chosen), [each.topic for each in chosen])

    def over(self, value: Callable[[Outcome], float]) -> Estimate:
        """The mean of anything that a query has, and its interval."""
        return estimate([value(each) for each in self.outcomes], [e.topic for e in self.outcomes])

    def gain(self, better: str, worse: str, measure: str) -> Estimate:
        """The mean difference of two systems on the same queries, and its interval."""
        difference = self.values(better, measure) - self.values(worse, measure)
        return estimate(difference, [each.topic for each in self.outcomes])

    def best_branch(self, measure: str) -> str:
        """The branch that is best on average; the first of those that are equal."""
        return max(self.branches, key=lambda name: float(self.values(name, measure).mean()))

    @property
    def dimensions(self) -> dict[str, dict[str, list[Outcome]]]:
        """Outcomes by the groups that their queries name, ``language`` among them.

        Only where there are at least two groups to compare.
        """
        found: dict[str, dict[str, list[Outcome]]] = {}
        for each in self.outcomes:
            groups = dict(each.query.groups)
            if each.query.language:
                groups["language"] = each.query.language
            for dimension, group in groups.items():
                found.setdefault(dimension, {}).setdefault(group, []).append(each)
        return {name: groups for name, groups in found.items() if len(groups) > 1}

    def twins(self) -> dict[str, list[tuple[Outcome, Outcome]]]:
        """By language other than English: pairs of one topic, the English one first."""
        english = {each.topic: each for each in self.outcomes if each.query.language == ENGLISH}
        found: dict[str, list[tuple[Outcome, Outcome]]] = {}
        for each in self.outcomes:
            language = each.query.language
            if language not in ("", ENGLISH) and each.topic in english:
                found.setdefault(language, []).append((english[each.topic], each))
        return found

    def twin_gain(
        self, pairs: Sequence[tuple[Outcome, Outcome]], system: str, measure: str
    ) -> Estimate:
        """How much better the other language does than English, in the mean of the pairs."""
        english = self.values(system, measure, [pair[0] for pair in pairs])
        other = self.values(system, measure, [pair[1] for pair in pairs])
        return estimate(other - english, [pair[0].topic for pair in pairs])
