"""Present retrieval results as charts, tables and example queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import (
    Cell,
    ExampleGallery,
    Headline,
    ReportBlock,
    ReportChart,
    ReportSection,
    ReportTable,
)
from sightline.server.evaluation.retrieval.ranked_systems import FUSED, RERANKED
from sightline.server.evaluation.retrieval.retrieval_metrics import (
    MAIN_METRIC,
    METRICS,
    rank_biased_overlap,
)
from sightline.server.evaluation.retrieval.retrieval_results import EvalQueryResult, TaskResult
from sightline.server.evaluation.retrieval.sample_queries import (
    Previews,
    example_query,
    lowest_scoring,
    most_improved,
)

LABELS = {
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


def label(system: str) -> str:
    """Return the name of a system in reports."""
    return LABELS.get(system, system)


def retrieval_section(task: TaskResult, previews: Previews) -> ReportSection:
    """Return the section of one search task; ``previews`` are from `load_previews`."""
    blocks: list[ReportBlock] = [_chart(task), _all_metrics(task)]
    if len(task.retrievers) > 1 or RERANKED in task.systems:
        blocks.append(_differences(task))
    blocks += [_by_group(task, name, groups) for name, groups in task.groupings.items()]
    blocks += _translations(task)
    if task.clip_scores:
        blocks.append(_clip_scores(task))
    if len(task.retrievers) > 1:
        blocks.append(_rank_overlap(task))
        examples = [example_query(task, each, previews, label) for each in most_improved(task)]
        if examples:
            note = "Queries with the largest gain over the mean of the single retrievers."
            blocks.append(ExampleGallery("Largest gain from fusion", examples, note))
    examples = [example_query(task, each, previews, label) for each in lowest_scoring(task)]
    if examples:
        note = "Examples alternate between the kinds of queries."
        blocks.append(ExampleGallery("Lowest-scoring queries", examples, note))
    durations = sorted(each.rankings.milliseconds for each in task.queries)
    median = durations[len(durations) // 2]
    text = f"{len(task.queries):,} queries; median search time {median:.0f} ms."
    return ReportSection(_TITLES[task.task], blocks, text + _not_reranked(task), _headlines(task))


def _not_reranked(task: TaskResult) -> str:
    if RERANKED not in task.systems:
        return ""
    count = sum(RERANKED not in each.rankings.systems for each in task.queries)
    return f" {count:,} not reranked: the reranker failed or timed out." if count else ""


def _headlines(task: TaskResult) -> list[Headline]:
    final = task.mean(task.final_system, MAIN_METRIC)
    name = label(task.final_system)
    headlines = [Headline(f"{MAIN_METRIC}, {name}", f"{final.value:.3f}", _interval(final))]
    if len(task.retrievers) > 1:
        best = task.best_retriever(MAIN_METRIC)
        gain = task.difference(task.final_system, best, MAIN_METRIC)
        title = f"gain over the best retriever, {label(best)}"
        headlines.append(Headline(title, _signed(gain), _interval(gain)))
    recall = task.mean(task.final_system, _RECALL)
    headlines.append(Headline(f"{_RECALL}, {name}", f"{recall.value:.3f}", _interval(recall)))
    for language, pairs in task.translations().items():
        gain = task.translation_difference(pairs, task.final_system, _RECALL)
        headlines.append(
            Headline(f"{language} minus en, {_RECALL}", _signed(gain), _interval(gain))
        )
    return headlines


def _signed(value: Estimate) -> str:
    return f"{value.value:+.3f}"


def _interval(value: Estimate) -> str:
    return f"95% interval {value.low:.3f} to {value.high:.3f}"


def _final_row(task: TaskResult) -> frozenset[int]:
    return frozenset({task.systems.index(task.final_system)})


def _chart(task: TaskResult) -> ReportChart:
    rows = [(label(name), task.mean(name, MAIN_METRIC)) for name in task.systems]
    note = "The lines are 95% confidence intervals."
    return ReportChart(f"{MAIN_METRIC} by system", rows, note, _final_row(task))


def _all_metrics(task: TaskResult) -> ReportTable:
    rows: list[list[Cell]] = [
        [label(name), *(task.mean(name, metric) for metric in METRICS)] for name in task.systems
    ]
    return ReportTable("All metrics", ["system", *METRICS], rows, highlighted=_final_row(task))


def _differences(task: TaskResult) -> ReportTable:
    pairs = [(FUSED, name) for name in task.retrievers]
    if RERANKED in task.systems:
        pairs.append((RERANKED, FUSED))
    rows: list[list[Cell]] = []
    for better, worse in pairs:
        values = task.values(better, MAIN_METRIC) - task.values(worse, MAIN_METRIC)
        counts = [int(flags.sum()) for flags in (values > 0, values == 0, values < 0)]
        estimates = (task.difference(better, worse, name) for name in (MAIN_METRIC, _RECALL))
        rows.append([f"{label(better)} − {label(worse)}", *estimates, *counts])
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
    columns = [name, "queries", *(label(system) for system in task.systems)]
    return ReportTable(f"{MAIN_METRIC} by {name}", columns, rows, heatmap=True)


def _translations(task: TaskResult) -> list[ReportTable]:
    tables = []
    for language, pairs in task.translations().items():
        rows: list[list[Cell]] = []
        for system in task.systems:
            english, other = (
                task.mean(system, _RECALL, [pair[side] for pair in pairs]) for side in (0, 1)
            )
            gain = task.translation_difference(pairs, system, _RECALL)
            rows.append([label(system), english, other, f"{_signed(gain)} ({_interval(gain)})"])
        overlaps = [
            rank_biased_overlap(
                one.rankings.keys(task.final_system), other.rankings.keys(task.final_system)
            )
            for one, other in pairs
        ]
        tables.append(
            ReportTable(
                f"The same questions in en and {language}: {_RECALL}",
                ["system", "en", language, "difference"],
                rows,
                f"{len(pairs):,} pairs. Mean rank-biased overlap of the two result lists "
                f"({label(task.final_system)}): {sum(overlaps) / len(overlaps):.3f}.",
            )
        )
    return tables


def _clip_scores(task: TaskResult) -> ReportTable:
    return ReportTable(
        "CLIP score",
        ["image", "mean"],
        [[name, value] for name, value in task.clip_scores.items()],
        "2.5 times the cosine of the query and image vectors of the configured encoder.",
    )


def _rank_overlap(task: TaskResult) -> ReportTable:
    rows: list[list[Cell]] = [
        [f"{label(one)}, {label(other)}", task.rank_overlap(one, other)]
        for one, other in combinations(task.retrievers, 2)
    ]
    return ReportTable(
        "Overlap of the retrievers",
        ["retrievers", "rank-biased overlap"],
        rows,
        "1: the same ranking; near 0: different results. Between a visual and a text retriever, "
        "this is the cross-modal agreement.",
    )
