"""Retrieval, measured: each branch alone, fused, and reranked where a reranker is set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.retrieval.clip_score import clip_scores
from sightline.server.evaluation.retrieval.eval_queries import Query, Task
from sightline.server.evaluation.retrieval.qrels import Asked, Judged, judge
from sightline.server.evaluation.retrieval.ranked_systems import FUSED, RERANKED, Ranking, rank
from sightline.server.evaluation.retrieval.retrieval_metrics import score
from sightline.server.evaluation.retrieval.retrieval_results import Outcome, TaskOutcome
from sightline.server.evaluation.run_file import Line
from sightline.tools.shared.dependencies import Dependencies

FIELD = "relevant"
"""Lines that have it are scored here."""

Progress = Callable[[int, int], None]
"""Told how many queries are done, and of how many."""

FIRST_HIT = "first hit"
RIGHT = "right picture"
CHANCE = "right picture of another query"
_ORDER = (FUSED, RERANKED)


async def evaluate(
    deps: Dependencies, lines: Sequence[Line], collection: str | None, progress: Progress
) -> list[TaskOutcome]:
    """Run every query and score what was found, by kind of search.

    ``collection`` is searched by queries that name none; ``None`` searches all. Raises
    InvalidArgumentError, naming the line, for what is wrong with a query.
    """
    asked = _asked(lines)
    database = await deps.database.get()
    async with database.connection() as connection:
        judged = await judge(connection, asked, collection)
    ranked: list[tuple[Judged, Ranking]] = []
    for each in judged:
        ranked.append((each, await rank(deps, each.asked, collection)))
        progress(len(ranked), len(judged))
    tasks = dict.fromkeys(each.asked.query.task for each in judged)
    return [
        await _task(deps, task, [pair for pair in ranked if pair[0].asked.query.task == task])
        for task in tasks
    ]


def _asked(lines: Sequence[Line]) -> list[Asked]:
    asked: dict[str, Asked] = {}
    for line in lines:
        query = line.parse(Query)
        id_ = query.id or str(line.number)
        if id_ in asked:
            raise line.error(f"id is {id_!r}, which line {asked[id_].line.number} has already")
        asked[id_] = Asked(id_, line, query)
    return list(asked.values())


async def _task(
    deps: Dependencies, task: Task, ranked: Sequence[tuple[Judged, Ranking]]
) -> TaskOutcome:
    found = {name for _, ranking in ranked for name in ranking.systems}
    ordered = [name for _, ranking in ranked for name in ranking.systems if name not in _ORDER]
    systems = (*dict.fromkeys(ordered), *(name for name in _ORDER if name in found))
    grades = {judged.asked.id: judged.grades for judged, _ in ranked}
    scores = {
        system: score({judged.asked.id: ranking.keys(system) for judged, ranking in ranked}, grades)
        for system in systems
    }
    outcomes = tuple(
        Outcome(
            judged,
            ranking,
            {
                system: {name: float(values[place]) for name, values in by_measure.items()}
                for system, by_measure in scores.items()
            },
        )
        for place, (judged, ranking) in enumerate(ranked)
    )
    clip = await _clip(deps, outcomes) if task == "words" else {}
    return TaskOutcome(task, systems, outcomes, clip)


async def _clip(deps: Dependencies, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    """Of the first hit, of what is right, and of what is right for another query (chance)."""
    hits = [next(iter(each.ranking.systems[FUSED]), None) for each in outcomes]
    right = [max(each.judged.grades, key=each.judged.grades.__getitem__) for each in outcomes]
    others = np.random.default_rng(len(right)).permutation(len(right))
    return await clip_scores(
        deps,
        [each.query.query for each in outcomes],
        [each.topic for each in outcomes],
        {FIRST_HIT: hits, RIGHT: right, CHANCE: [right[place] for place in others]},
    )
