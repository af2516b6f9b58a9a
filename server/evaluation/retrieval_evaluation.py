"""Evaluate retrieval: each retriever alone, fused, and reranked.

One search of the tools gives all rankings: of each retriever, fused, and reranked if a reranker is
configured. If the reranker fails or times out, its ranking is the fused one, as in a tool call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
import numpy as np

from sightline.server.evaluation.bootstrap import Estimate, bootstrap_mean
from sightline.server.evaluation.eval_queries import (
    EvalQuery,
    Grades,
    RunQuery,
    SearchTask,
    load_qrels,
)
from sightline.server.evaluation.retrieval_results import (
    FUSED,
    RERANKED,
    EvalQueryResult,
    SystemRankings,
    TaskResult,
    compute_metrics,
)
from sightline.server.evaluation.run_file import ProgressCallback, RunFileLine
from sightline.storage.errors import InvalidArgumentError, MediaError
from sightline.storage.records import embedding_spaces
from sightline.storage.retrieval.retrievers.vector_retriever import asset_vectors
from sightline.storage.retrieval.search_types import (
    MAX_RESULTS,
    Example,
    ImageRequest,
    PassageRequest,
    Selection,
)
from sightline.storage.types import ASSET_ID
from sightline.tools.shared import images
from sightline.tools.shared.dependencies import Dependencies

_LAST_SYSTEMS = (FUSED, RERANKED)
_TOOL = "sightline eval"
_IMAGE_EDGE_PIXELS = 1024
_CLIP_SCORE_WEIGHT = 2.5
_TEXT_BATCH = 64


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
    queries: dict[str, RunQuery] = {}
    for line in lines:
        query = line.parse(EvalQuery)
        id_ = query.id or str(line.number)
        if id_ in queries:
            raise line.error(f"id {id_!r} is already used by line {queries[id_].line.number}")
        queries[id_] = RunQuery(id_, line, query)
    database = await deps.database.get()
    async with database.connection() as connection:
        qrels = await load_qrels(connection, list(queries.values()), collection)
    tasks: dict[SearchTask, dict[str, SystemRankings]] = {}
    for done, (id_, each) in enumerate(queries.items(), 1):
        tasks.setdefault(each.query.task, {})[id_] = await _rank(deps, each, collection)
        progress(done, len(queries))
    return [
        await _score_task(deps, task, rankings, queries, qrels) for task, rankings in tasks.items()
    ]


async def _rank(deps: Dependencies, run_query: RunQuery, collection: str | None) -> SystemRankings:
    query = run_query.query
    name = query.collection or collection
    selection = Selection(
        collections=None if name is None else (name,),
        filters=query.filters,
        captured_after=query.captured_after,
        captured_before=query.captured_before,
    )
    options: dict[str, Any] = {
        "query": query.query,
        "selection": selection,
        "limit": MAX_RESULTS,
        "tool": _TOOL,
    }
    try:
        image = await load_query_image(deps, run_query)
        started = time.perf_counter()
        if query.search == "images":
            found = await deps.image_search(ImageRequest(image=image, **options))
            report, final = found.report, [hit.asset.id for hit in found.hits]
        else:
            passages = await deps.passage_search(PassageRequest(**options))
            report, final = passages.report, [str(hit.passage.id) for hit in passages.hits]
    except (InvalidArgumentError, MediaError) as error:
        raise run_query.line.error(error) from error
    milliseconds = (time.perf_counter() - started) * 1000
    systems = {name: tuple(map(str, each.keys)) for name, each in report.retrievers.items()}
    systems[FUSED] = tuple(map(str, report.fused_keys))
    if report.reranked:
        systems[RERANKED] = tuple(final)
    return SystemRankings(systems, milliseconds, report.notes)


async def load_query_image(deps: Dependencies, run_query: RunQuery) -> Example | None:
    """Return the query image: a decoded file beside the run file, or an asset id.

    Raises InvalidArgumentError and MediaError.
    """
    name = run_query.query.image
    if name is None:
        return None
    path = run_query.line.path.parent / name
    if not path.is_file():
        if ASSET_ID.fullmatch(name):
            return name
        raise InvalidArgumentError(f"image {name!r} is neither a file nor an asset id")

    def decode() -> Example:
        data = _read(path, deps.limits.max_image_bytes)
        return images.decode_upright(
            data, max_pixels=deps.limits.max_image_pixels, edge=_IMAGE_EDGE_PIXELS
        )

    return await anyio.to_thread.run_sync(decode)


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidArgumentError(f"cannot read image {path}: {error.strerror}") from error
    if len(data) > max_bytes:
        raise InvalidArgumentError(f"image {path} is larger than {max_bytes:,} bytes")
    return data


async def _score_task(
    deps: Dependencies,
    task: SearchTask,
    rankings: Mapping[str, SystemRankings],
    queries: Mapping[str, RunQuery],
    qrels: Mapping[str, Grades],
) -> TaskResult:
    names = dict.fromkeys(name for each in rankings.values() for name in each.systems)
    systems = (
        *(name for name in names if name not in _LAST_SYSTEMS),
        *(name for name in _LAST_SYSTEMS if name in names),
    )
    grades = {id_: qrels[id_] for id_ in rankings}
    metrics = {
        system: compute_metrics({id_: each.keys(system) for id_, each in rankings.items()}, grades)
        for system in systems
    }
    results = []
    for index, (id_, each) in enumerate(rankings.items()):
        scores = {
            system: {name: float(values[index]) for name, values in by_metric.items()}
            for system, by_metric in metrics.items()
        }
        query = queries[id_]
        results.append(EvalQueryResult(id_, query.line, query.query, grades[id_], each, scores))
    clip = await _clip_scores(deps, results) if task == "text to image" else {}
    return TaskResult(task, systems, tuple(results), clip)


async def _clip_scores(
    deps: Dependencies, results: Sequence[EvalQueryResult]
) -> dict[str, Estimate]:
    """Return the mean CLIP score of images for the query texts.

    The images are the first hit, a relevant image, and the one of a random other query. The score
    is 2.5 times the cosine of the text and image vectors, at least 0 (Hessel et al., "CLIPScore",
    EMNLP 2021). Scores of different encoders are not comparable. Images without a vector are left
    out.
    """
    relevant = [max(each.grades, key=each.grades.__getitem__) for each in results]
    order = np.random.default_rng(len(relevant)).permutation(len(relevant))
    groups = {
        "first hit": [next(iter(each.rankings.systems[FUSED]), "") for each in results],
        "relevant image": relevant,
        "relevant image of another query": [relevant[index] for index in order],
    }
    encoder = await deps.encoder.get()
    database = await deps.database.get()
    texts = [each.query.query for each in results]
    batches = range(0, len(texts), _TEXT_BATCH)
    parts = [await encoder.encode_texts(texts[start : start + _TEXT_BATCH]) for start in batches]
    text_vectors = np.concatenate(parts)
    async with database.connection() as connection:
        space = await embedding_spaces.find(connection, encoder.identity, "asset")
        ids = sorted({id_ for group in groups.values() for id_ in group if id_})
        vectors = {} if space is None else await asset_vectors(connection, space, ids)
    scores: dict[str, Estimate] = {}
    for name, group in groups.items():
        scored = [index for index, id_ in enumerate(group) if id_ in vectors]
        cosines = [float(text_vectors[index] @ vectors[group[index]]) for index in scored]
        values = _CLIP_SCORE_WEIGHT * np.maximum(np.array(cosines, dtype=np.float64), 0)
        scores[name] = bootstrap_mean(values, [results[index].topic for index in scored])
    return scores
