"""Present retrieval results as charts, tables and example queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, zip_longest

from PIL import Image

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import (
    Cell,
    ExampleGallery,
    ExampleQuery,
    Headline,
    ImageRole,
    ReportBlock,
    ReportChart,
    ReportImage,
    ReportSection,
    ReportTable,
)
from sightline.server.evaluation.retrieval_evaluation import load_query_image
from sightline.server.evaluation.retrieval_results import (
    FUSED,
    MAIN_METRIC,
    METRICS,
    RERANKED,
    EvalQueryResult,
    TaskResult,
    rank_biased_overlap,
)
from sightline.storage.errors import UnknownAssetError
from sightline.storage.records import assets
from sightline.storage.retrieval.hydrate import hydration
from sightline.tools.shared import images
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_results import shorten

_LABELS = {
    "text_to_image": "image vectors",
    "text_to_region": "region vectors",
    "image_to_image": "image vectors",
    "image_to_region": "region vectors",
    "text_to_passage": "passage vectors",
    "lexical": "lexical (BM25)",
    FUSED: "fused",
    RERANKED: "fused and reranked",
}
_TITLES = {
    "text to image": "Image search by text",
    "image to image": "Image search by image",
    "text+image to image": "Image search by text and image",
    "text to passage": "Text search",
}
_RECALL = "R@10"
_CHART_NOTE = "The lines are 95% confidence intervals."
_GAIN_NOTE = "Queries with the largest gain over the mean of the single retrievers."

_MAX_LOWEST_SCORING = 12
_MAX_IMPROVED = 6
_MAX_RELEVANT = 2
_MAX_HITS = 5
_MAX_TEXT_CHARS = 160
_PREVIEW_EDGE_PIXELS = 256
_PREVIEW_MAX_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Preview:
    """Source, text and thumbnail of a result or of a query image."""

    source: str
    text: str
    jpeg: bytes | None = None


async def retrieval_section(deps: Dependencies, task: TaskResult) -> ReportSection:
    """Return the section of one search task; load the previews of its examples."""
    final_row = frozenset({task.systems.index(task.final_system)})
    chart = [(_label(name), task.mean(name, MAIN_METRIC)) for name in task.systems]
    means: list[list[Cell]] = [
        [_label(name), *(task.mean(name, metric) for metric in METRICS)] for name in task.systems
    ]
    blocks: list[ReportBlock] = [
        ReportChart(f"{MAIN_METRIC} by system", chart, _CHART_NOTE, final_row),
        ReportTable("All metrics", ["system", *METRICS], means, highlighted=final_row),
    ]
    if len(task.retrievers) > 1 or RERANKED in task.systems:
        blocks.append(_differences(task))
    blocks += [_by_group(task, name, groups) for name, groups in task.groupings.items()]
    blocks += _translations(task)
    if task.clip_scores:
        rows: list[list[Cell]] = [[name, value] for name, value in task.clip_scores.items()]
        note = "2.5 times the cosine of the query and image vectors of the configured encoder."
        blocks.append(ReportTable("CLIP score", ["image", "mean"], rows, note))
    if len(task.retrievers) > 1:
        blocks.append(_rank_overlap(task))
    blocks += await _example_galleries(deps, task)
    durations = sorted(each.rankings.milliseconds for each in task.queries)
    median = durations[len(durations) // 2]
    text = f"{len(task.queries):,} queries; median search time {median:.0f} ms."
    if RERANKED in task.systems:
        failed = sum(RERANKED not in each.rankings.systems for each in task.queries)
        text += f" {failed:,} not reranked: the reranker failed or timed out." if failed else ""
    return ReportSection(_TITLES[task.task], blocks, text, _headlines(task))


def _label(system: str) -> str:
    return _LABELS.get(system, system)


def _headlines(task: TaskResult) -> list[Headline]:
    name = _label(task.final_system)
    figures = {f"{MAIN_METRIC}, {name}": (task.mean(task.final_system, MAIN_METRIC), "")}
    if len(task.retrievers) > 1:
        means = {each: task.values(each, MAIN_METRIC).mean() for each in task.retrievers}
        best = max(means, key=means.__getitem__)
        gain = task.difference(task.final_system, best, MAIN_METRIC)
        figures[f"gain over the best retriever, {_label(best)}"] = gain, "+"
    figures[f"{_RECALL}, {name}"] = task.mean(task.final_system, _RECALL), ""
    for language, pairs in task.translations().items():
        gain = task.translation_difference(pairs, task.final_system, _RECALL)
        figures[f"{language} minus en, {_RECALL}"] = gain, "+"
    return [
        Headline(title, f"{value.value:{sign}.3f}", _interval(value))
        for title, (value, sign) in figures.items()
    ]


def _interval(value: Estimate) -> str:
    return f"95% interval {value.low:.3f} to {value.high:.3f}"


def _differences(task: TaskResult) -> ReportTable:
    pairs = [(FUSED, name) for name in task.retrievers]
    if RERANKED in task.systems:
        pairs.append((RERANKED, FUSED))
    rows: list[list[Cell]] = []
    for better, worse in pairs:
        values = task.values(better, MAIN_METRIC) - task.values(worse, MAIN_METRIC)
        counts = [int(flags.sum()) for flags in (values > 0, values == 0, values < 0)]
        estimates = (task.difference(better, worse, name) for name in (MAIN_METRIC, _RECALL))
        rows.append([f"{_label(better)} − {_label(worse)}", *estimates, *counts])
    return ReportTable(
        "Differences on the same queries",
        ["difference", MAIN_METRIC, _RECALL, "better", "equal", "worse"],
        rows,
        "A difference is significant if its interval does not include 0.",
        signed=True,
    )


def _by_group(
    task: TaskResult, name: str, groups: Mapping[str, Sequence[EvalQueryResult]]
) -> ReportTable:
    rows: list[list[Cell]] = [
        [group, len(among), *(task.mean(system, MAIN_METRIC, among) for system in task.systems)]
        for group, among in sorted(groups.items())
    ]
    columns = [name, "queries", *map(_label, task.systems)]
    return ReportTable(f"{MAIN_METRIC} by {name}", columns, rows, heatmap=True)


def _translations(task: TaskResult) -> list[ReportTable]:
    tables = []
    final = task.final_system
    for language, pairs in task.translations().items():
        rows: list[list[Cell]] = []
        for system in task.systems:
            means = (task.mean(system, _RECALL, side) for side in zip(*pairs, strict=True))
            gain = task.translation_difference(pairs, system, _RECALL)
            rows.append([_label(system), *means, f"{gain.value:+.3f} ({_interval(gain)})"])
        overlaps = [
            rank_biased_overlap(one.rankings.keys(final), other.rankings.keys(final))
            for one, other in pairs
        ]
        tables.append(
            ReportTable(
                f"The same questions in en and {language}: {_RECALL}",
                ["system", "en", language, "difference"],
                rows,
                f"{len(pairs):,} pairs. Mean rank-biased overlap of the two result lists "
                f"({_label(final)}): {sum(overlaps) / len(overlaps):.3f}.",
            )
        )
    return tables


def _rank_overlap(task: TaskResult) -> ReportTable:
    rows: list[list[Cell]] = [
        [f"{_label(one)}, {_label(other)}", task.rank_overlap(one, other)]
        for one, other in combinations(task.retrievers, 2)
    ]
    return ReportTable(
        "Overlap of the retrievers",
        ["retrievers", "rank-biased overlap"],
        rows,
        "1: the same ranking; near 0: different results. Between a visual and a text retriever, "
        "this is the cross-modal agreement.",
    )


async def _example_galleries(deps: Dependencies, task: TaskResult) -> list[ExampleGallery]:
    def score(result: EvalQueryResult) -> float:
        return result.metrics[task.final_system][MAIN_METRIC]

    def gain(result: EvalQueryResult) -> float:
        single = [result.metrics[name][MAIN_METRIC] for name in task.retrievers]
        return score(result) - sum(single) / len(single)

    failed = [each for each in task.queries if score(each) < 1]
    lowest = _alternate_groups(sorted(failed, key=score), _MAX_LOWEST_SCORING)
    improved: list[EvalQueryResult] = []
    if len(task.retrievers) > 1:
        gained = [each for each in task.queries if gain(each) > 0]
        improved = _alternate_groups(sorted(gained, key=gain, reverse=True), _MAX_IMPROVED)
    previews = await _load_previews(deps, task, [*lowest, *improved])

    galleries = []
    for title, note, chosen in (
        ("Largest gain from fusion", _GAIN_NOTE, improved),
        ("Lowest-scoring queries", "Examples alternate between the kinds of queries.", lowest),
    ):
        if chosen:
            examples = [_example_query(task, each, previews) for each in chosen]
            galleries.append(ExampleGallery(title, examples, note))
    return galleries


def _alternate_groups(ordered: Iterable[EvalQueryResult], max_count: int) -> list[EvalQueryResult]:
    """Return the first queries, one per topic, groups alternating."""
    groups: dict[str, dict[str, EvalQueryResult]] = {}
    for each in ordered:
        group = next(iter(each.query.groups.values()), "")
        groups.setdefault(group, {}).setdefault(each.topic, each)
    rounds = zip_longest(*(topics.values() for topics in groups.values()))
    return [each for each in chain.from_iterable(rounds) if each is not None][:max_count]


async def _load_previews(
    deps: Dependencies, task: TaskResult, chosen: Sequence[EvalQueryResult]
) -> Mapping[str, Preview]:
    """Load previews of results and query images, by key."""
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
    image = await load_query_image(deps, result)
    if not isinstance(image, Image.Image):
        return Preview(str(image), "")
    small = images.encode(image, max_edge=_PREVIEW_EDGE_PIXELS, max_bytes=_PREVIEW_MAX_BYTES)
    return Preview("", "", small.data)


def _query_key(result: EvalQueryResult) -> str:
    return f"query:{result.id}"  # Cannot be the key of an asset or passage.


def _relevant(result: EvalQueryResult) -> Sequence[str]:
    return sorted(result.grades, key=lambda key: -result.grades[key])[:_MAX_RELEVANT]


def _hits(task: TaskResult, result: EvalQueryResult) -> Sequence[str]:
    return result.rankings.keys(task.final_system)[:_MAX_HITS]


def _example_query(
    task: TaskResult, result: EvalQueryResult, previews: Mapping[str, Preview]
) -> ExampleQuery:
    """Return a query with its expected results and first hits."""
    query = result.query
    shown = [_image(key, "relevant", "relevant", previews) for key in _relevant(result)]
    for rank, key in enumerate(_hits(task, result), 1):
        role: ImageRole = "correct" if result.grades.get(key, 0) > 0 else "incorrect"
        shown.append(_image(key, role, f"hit {rank}", previews))
    if (query_preview := previews.get(_query_key(result))) is not None:
        shown.insert(0, ReportImage(["query image"], "query", query_preview.jpeg))
    ranks = [f"{_label(name)} {result.first_relevant_rank(name) or '–'}" for name in task.systems]
    return ExampleQuery(
        title=query.query or f"image {query.image}",
        facts=[
            ", ".join(filter(None, [*query.groups.values(), query.language])),
            f"{MAIN_METRIC} {result.metrics[task.final_system][MAIN_METRIC]:.2f}",
            "rank of the first relevant result: " + ", ".join(ranks),
        ],
        images=shown,
    )


def _image(key: str, role: ImageRole, title: str, previews: Mapping[str, Preview]) -> ReportImage:
    preview = previews.get(key)
    if preview is None:
        return ReportImage([title, key if key.isalnum() else "not in the index"], role)
    lines = [title, preview.source.rsplit("/", 1)[-1], shorten(preview.text, _MAX_TEXT_CHARS)]
    return ReportImage([line for line in lines if line], role, preview.jpeg)
