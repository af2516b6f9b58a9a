"""Select example queries for the report and load their thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from sightline.server.evaluation.report_model import ExampleQuery, ImageRole, ReportImage
from sightline.server.evaluation.retrieval.ranked_systems import load_query_image
from sightline.server.evaluation.retrieval.retrieval_metrics import MAIN_METRIC
from sightline.server.evaluation.retrieval.retrieval_results import EvalQueryResult, TaskResult
from sightline.storage.errors import UnknownAssetError
from sightline.storage.records import assets
from sightline.storage.retrieval import hydration
from sightline.tools.shared import images
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.references import shorten

_MAX_LOWEST_SCORING = 12
_MAX_IMPROVED = 6
_MAX_RELEVANT = 2
_MAX_HITS = 5
_MAX_TEXT_CHARS = 160
_QUERY_IMAGE_EDGE_PIXELS = 256
_QUERY_IMAGE_MAX_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Preview:
    """Source, text and thumbnail of a result or of a query image."""

    source: str
    text: str
    jpeg: bytes | None = None


Previews = Mapping[str, Preview]


def lowest_scoring(task: TaskResult) -> list[EvalQueryResult]:
    """Return the lowest-scoring queries, one per topic, groups alternating."""
    scores = {each.id: each.metrics[task.final_system][MAIN_METRIC] for each in task.queries}
    failed = [each for each in task.queries if scores[each.id] < 1]
    return _alternate_groups(sorted(failed, key=lambda each: scores[each.id]), _MAX_LOWEST_SCORING)


def most_improved(task: TaskResult) -> list[EvalQueryResult]:
    """Return the queries with the largest gain over the mean of the single retrievers."""

    def gain(result: EvalQueryResult) -> float:
        single = [result.metrics[name][MAIN_METRIC] for name in task.retrievers]
        return result.metrics[task.final_system][MAIN_METRIC] - sum(single) / len(single)

    improved = [each for each in task.queries if gain(each) > 0]
    return _alternate_groups(sorted(improved, key=gain, reverse=True), _MAX_IMPROVED)


def _alternate_groups(ordered: Iterable[EvalQueryResult], max_count: int) -> list[EvalQueryResult]:
    groups: dict[str, dict[str, EvalQueryResult]] = {}
    for each in ordered:
        group = next(iter(each.query.groups.values()), "")
        groups.setdefault(group, {}).setdefault(each.topic, each)
    queues = [list(topics.values()) for topics in groups.values()]
    rounds = max(map(len, queues), default=0)
    alternating = [queue[n] for n in range(rounds) for queue in queues if n < len(queue)]
    return alternating[:max_count]


async def load_previews(deps: Dependencies, task: TaskResult) -> Previews:
    """Load previews for the queries of `lowest_scoring` and `most_improved`, by key."""
    chosen = [*lowest_scoring(task), *most_improved(task)]
    keys = {key for each in chosen for key in (*_relevant(each), *_hits(task, each))}
    previews = {
        _query_key(each): await _query_preview(deps, each) for each in chosen if each.query.image
    }
    database = await deps.database.get()
    async with database.connection() as connection:
        if task.task == "text to passage":
            ids = [int(key) for key in keys if key.isdecimal()]
            passages = await hydration.load_passages(connection, ids)
            return previews | {str(id_): Preview(p.source, p.text) for id_, p in passages.items()}
        for id_, asset in (await assets.find(connection, keys)).items():
            try:
                jpeg = await assets.thumbnail(connection, id_)
            except UnknownAssetError:  # No thumbnail, or deleted in the meantime.
                jpeg = None
            previews[id_] = Preview(asset.source, asset.caption or "", jpeg)
    return previews


async def _query_preview(deps: Dependencies, result: EvalQueryResult) -> Preview:
    """Return a thumbnail of the query image; only its id if it is an asset."""
    image = await load_query_image(deps, result.judged.run_query)
    if not isinstance(image, Image.Image):
        return Preview(str(image), "")
    small = images.encode(
        image, max_edge=_QUERY_IMAGE_EDGE_PIXELS, max_bytes=_QUERY_IMAGE_MAX_BYTES
    )
    return Preview("", "", small.data)


def _query_key(result: EvalQueryResult) -> str:
    return f"query:{result.id}"  # Cannot be the key of an asset or passage.


def _relevant(result: EvalQueryResult) -> Sequence[str]:
    grades = result.judged.grades
    return sorted(grades, key=lambda key: -grades[key])[:_MAX_RELEVANT]


def _hits(task: TaskResult, result: EvalQueryResult) -> Sequence[str]:
    return result.rankings.keys(task.final_system)[:_MAX_HITS]


def example_query(
    task: TaskResult, result: EvalQueryResult, previews: Previews, label: Callable[[str], str]
) -> ExampleQuery:
    """Return a query with its expected results and first hits."""
    query, grades = result.query, result.judged.grades
    shown = [_image(key, "relevant", "relevant", previews) for key in _relevant(result)]
    for rank, key in enumerate(_hits(task, result), 1):
        role: ImageRole = "correct" if grades.get(key, 0) > 0 else "incorrect"
        shown.append(_image(key, role, f"hit {rank}", previews))
    if (query_preview := previews.get(_query_key(result))) is not None:
        shown.insert(0, ReportImage(["query image"], "query", query_preview.jpeg))
    ranks = [f"{label(name)} {result.first_relevant_rank(name) or '–'}" for name in task.systems]
    return ExampleQuery(
        title=query.query or f"image {query.image}",
        facts=[
            ", ".join(filter(None, [*query.groups.values(), query.language])),
            f"{MAIN_METRIC} {result.metrics[task.final_system][MAIN_METRIC]:.2f}",
            "rank of the first relevant result: " + ", ".join(ranks),
        ],
        images=shown,
    )


def _image(key: str, role: ImageRole, title: str, previews: Previews) -> ReportImage:
    preview = previews.get(key)
    if preview is None:
        return ReportImage([title, key if key.isalnum() else "not in the index"], role)
    lines = [title, preview.source.rsplit("/", 1)[-1], shorten(preview.text, _MAX_TEXT_CHARS)]
    return ReportImage([line for line in lines if line], role, preview.jpeg)
