"""Evaluate retrieval: each retriever alone, fused, and reranked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.retrieval.eval_queries import EvalQuery, SearchTask
from sightline.server.evaluation.retrieval.qrels import JudgedQuery, RunQuery, load_qrels
from sightline.server.evaluation.retrieval.ranked_systems import (
    FUSED,
    RERANKED,
    SystemRankings,
    run_query,
)
from sightline.server.evaluation.retrieval.retrieval_metrics import clip_scores, compute_metrics
from sightline.server.evaluation.retrieval.retrieval_results import EvalQueryResult, TaskResult
from sightline.server.evaluation.run_file import ProgressCallback, RunFileLine
from sightline.tools.shared.dependencies import Dependencies

FIRST_HIT = "first hit"
RELEVANT_IMAGE = "relevant image"
RANDOM_IMAGE = "relevant image of another query"
_LAST_SYSTEMS = (FUSED, RERANKED)


async def run_queries(
    deps: Dependencies,
    lines: Sequence[RunFileLine],
    collection: str | None,
    progress: ProgressCallback,
) -> list[TaskResult]:
    """Run every query and return the results by search task.

    Queries that name no collection search ``collection`` (``None``: all). Raises
    InvalidArgumentError, naming the line, for a wrong query.
    """
    queries = _parse_queries(lines)
    database = await deps.database.get()
    async with database.connection() as connection:
        judged = await load_qrels(connection, queries, collection)
    ranked: list[tuple[JudgedQuery, SystemRankings]] = []
    for each in judged:
        ranked.append((each, await run_query(deps, each.run_query, collection)))
        progress(len(ranked), len(judged))
    tasks = dict.fromkeys(each.run_query.query.task for each in judged)
    return [
        await _score_task(
            deps, task, [pair for pair in ranked if pair[0].run_query.query.task == task]
        )
        for task in tasks
    ]


def _parse_queries(lines: Sequence[RunFileLine]) -> list[RunQuery]:
    queries: dict[str, RunQuery] = {}
    for line in lines:
        query = line.parse(EvalQuery)
        id_ = query.id or str(line.number)
        if id_ in queries:
            raise line.error(f"id {id_!r} is already used by line {queries[id_].line.number}")
        queries[id_] = RunQuery(id_, line, query)
    return list(queries.values())


async def _score_task(
    deps: Dependencies, task: SearchTask, ranked: Sequence[tuple[JudgedQuery, SystemRankings]]
) -> TaskResult:
    names = dict.fromkeys(name for _, rankings in ranked for name in rankings.systems)
    systems = (
        *(name for name in names if name not in _LAST_SYSTEMS),
        *(name for name in _LAST_SYSTEMS if name in names),
    )
    grades = {judged.run_query.id: judged.grades for judged, _ in ranked}
    metrics = {
        system: compute_metrics(
            {judged.run_query.id: rankings.keys(system) for judged, rankings in ranked}, grades
        )
        for system in systems
    }
    results = tuple(
        EvalQueryResult(
            judged,
            rankings,
            {
                system: {name: float(values[index]) for name, values in by_metric.items()}
                for system, by_metric in metrics.items()
            },
        )
        for index, (judged, rankings) in enumerate(ranked)
    )
    clip = await _clip_scores(deps, results) if task == "text to image" else {}
    return TaskResult(task, systems, results, clip)


async def _clip_scores(
    deps: Dependencies, results: Sequence[EvalQueryResult]
) -> dict[str, Estimate]:
    """Score the first hit, a relevant image, and one of a random other query."""
    hits = [next(iter(each.rankings.systems[FUSED]), None) for each in results]
    relevant = [max(each.judged.grades, key=each.judged.grades.__getitem__) for each in results]
    order = np.random.default_rng(len(relevant)).permutation(len(relevant))
    return await clip_scores(
        deps,
        [each.query.query for each in results],
        [each.topic for each in results],
        {
            FIRST_HIT: hits,
            RELEVANT_IMAGE: relevant,
            RANDOM_IMAGE: [relevant[index] for index in order],
        },
    )
