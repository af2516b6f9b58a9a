"""The outcomes of retrieval as tables, charts and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import (
    Cell,
    Chart,
    Gallery,
    Headline,
    Part,
    Section,
    Table,
)
from sightline.server.evaluation.retrieval.json_results import agreement
from sightline.server.evaluation.retrieval.rank_overlap import rank_biased_overlap
from sightline.server.evaluation.retrieval.ranked_systems import FUSED, RERANKED
from sightline.server.evaluation.retrieval.retrieval_metrics import MEASURES
from sightline.server.evaluation.retrieval.retrieval_results import Outcome, TaskOutcome
from sightline.server.evaluation.retrieval.sample_queries import Exhibits, case, telling, worst

LABELS = {
    "text_to_picture": "picture vectors",
    "text_to_region": "region vectors",
    "picture_to_picture": "picture vectors",
    "picture_to_region": "region vectors",
    "text_to_passage": "passage vectors",
    "words": "lexical (BM25)",
    FUSED: "fused",
    RERANKED: "fused and reranked",
}
_TITLES = {
    "words": "Pictures, by words",
    "picture": "Pictures, by a picture",
    "words and picture": "Pictures, by words and a picture",
    "passages": "Text, by words",
}
_MAIN = "nDCG@10"
_RECALL = "R@10"


def section(task: TaskOutcome, exhibits: Exhibits) -> Section:
    """All that one kind of search has to show; ``exhibits`` are of its `cases.shown` queries."""
    parts: list[Part] = [_chart(task), _overall(task)]
    if len(task.branches) > 1 or RERANKED in task.systems:
        parts.append(_differences(task))
    parts += [_by(task, name, groups) for name, groups in task.dimensions.items()]
    parts += _twins(task)
    if task.clip:
        parts.append(_clip(task))
    if len(task.branches) > 1:
        parts.append(_agreement(task))
        cases = [case(task, each, exhibits, label) for each in telling(task)]
        note = "Queries that most branches miss alone."
        parts.append(Gallery("Where fusing pays", cases, note))
    cases = [case(task, each, exhibits, label) for each in worst(task)]
    parts.append(Gallery("The worst queries", cases, "Each kind of query by turns."))
    milliseconds = sorted(each.ranking.milliseconds for each in task.outcomes)
    median = milliseconds[len(milliseconds) // 2]
    return Section(
        _TITLES[task.task],
        [part for part in parts if not isinstance(part, Gallery) or part.cases],
        f"{len(task.outcomes):,} queries; a search took {median:.0f} ms (median).{_late(task)}",
        _headlines(task),
    )


def _late(task: TaskOutcome) -> str:
    """How many queries the reranker did not answer; they are ranked as fused."""
    if RERANKED not in task.systems:
        return ""
    late = sum(RERANKED not in each.ranking.systems for each in task.outcomes)
    return f" {late:,} were not reranked: it was late or failed." if late else ""


def label(system: str) -> str:
    """What a system is called in a report."""
    return LABELS.get(system, system)


def _headlines(task: TaskOutcome) -> list[Headline]:
    final = task.mean(task.final, _MAIN)
    said = [Headline(f"{_MAIN}, {label(task.final)}", f"{final.value:.3f}", _range(final))]
    if len(task.branches) > 1:
        best = task.best_branch(_MAIN)
        gain = task.gain(task.final, best, _MAIN)
        said.append(
            Headline(f"over the best branch alone, {label(best)}", _signed(gain), _range(gain))
        )
    recall = task.mean(task.final, _RECALL)
    said.append(Headline(f"{_RECALL}, {label(task.final)}", f"{recall.value:.3f}", _range(recall)))
    for language, pairs in task.twins().items():
        gain = task.twin_gain(pairs, task.final, _RECALL)
        said.append(Headline(f"{language} against en, {_RECALL}", _signed(gain), _range(gain)))
    return said


def _signed(value: Estimate) -> str:
    return f"{value.value:+.3f}"


def _range(value: Estimate) -> str:
    return f"95% interval {value.low:.3f} to {value.high:.3f}"


def _chart(task: TaskOutcome) -> Chart:
    rows = [(label(name), task.mean(name, _MAIN)) for name in task.systems]
    strong = frozenset({task.systems.index(task.final)})
    return Chart(f"{_MAIN} of each system", rows, "Lines are 95% intervals.", strong)


def _overall(task: TaskOutcome) -> Table:
    rows: list[list[Cell]] = [
        [label(name), *(task.mean(name, measure) for measure in MEASURES)] for name in task.systems
    ]
    strong = frozenset({task.systems.index(task.final)})
    return Table("All measures", ["system", *MEASURES], rows, strong=strong)


def _differences(task: TaskOutcome) -> Table:
    pairs = [(FUSED, name) for name in task.branches]
    if RERANKED in task.systems:
        pairs.append((RERANKED, FUSED))
    rows: list[list[Cell]] = []
    for better, worse in pairs:
        difference = task.values(better, _MAIN) - task.values(worse, _MAIN)
        counts = [int((difference > 0).sum()), int((difference == 0).sum())]
        rows.append(
            [
                f"{label(better)} − {label(worse)}",
                *(task.gain(better, worse, measure) for measure in (_MAIN, _RECALL)),
                *counts,
                len(difference) - sum(counts),
            ]
        )
    return Table(
        "Differences on the same queries",
        ["difference", _MAIN, _RECALL, "better", "equal", "worse"],
        rows,
        "Where an interval does not hold 0, chance alone does not explain the difference.",
        signed=True,
    )


def _by(task: TaskOutcome, name: str, groups: Mapping[str, Sequence[Outcome]]) -> Table:
    rows: list[list[Cell]] = [
        [group, len(among), *(task.mean(system, _MAIN, among) for system in task.systems)]
        for group, among in sorted(groups.items())
    ]
    head = [name, "queries", *(label(system) for system in task.systems)]
    return Table(f"{_MAIN} by {name}", head, rows, shaded=True)


def _twins(task: TaskOutcome) -> list[Part]:
    tables: list[Part] = []
    for language, pairs in task.twins().items():
        rows: list[list[Cell]] = []
        for system in task.systems:
            english = task.mean(system, _RECALL, [pair[0] for pair in pairs])
            other = task.mean(system, _RECALL, [pair[1] for pair in pairs])
            gain = task.twin_gain(pairs, system, _RECALL)
            rows.append([label(system), english, other, f"{_signed(gain)} ({_range(gain)})"])
        overlap = [
            rank_biased_overlap(one.ranking.keys(task.final), two.ranking.keys(task.final))
            for one, two in pairs
        ]
        tables.append(
            Table(
                f"One question in two languages: {language} against en, {_RECALL}",
                ["system", "en", language, "difference"],
                rows,
                f"{len(pairs):,} pairs. Rank-biased overlap of the two lists of the "
                f"{label(task.final)} system: {sum(overlap) / len(overlap):.3f} on average.",
            )
        )
    return tables


def _clip(task: TaskOutcome) -> Table:
    return Table(
        "CLIP score",
        ["picture", "mean"],
        [[name, value] for name, value in task.clip.items()],
        "2.5 times the cosine of words and picture, by the encoder that searches.",
    )


def _agreement(task: TaskOutcome) -> Table:
    rows: list[list[Cell]] = [
        [f"{label(one)}, {label(other)}", agreement(task, one, other)]
        for one, other in combinations(task.branches, 2)
    ]
    return Table(
        "Agreement of the branches",
        ["branches", "rank-biased overlap"],
        rows,
        "Cross-modal agreement where one ranks by pictures and the other by text: 1 says that both "
        "rank alike, near 0 that they find different things.",
    )
