"""What can be measured, by the field of a run file's line that says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

from sightline.server.evaluation.answers import answer_evaluation
from sightline.server.evaluation.answers import answer_sections as answers_presenting
from sightline.server.evaluation.answers.llm_judge import Judge
from sightline.server.evaluation.report_model import Report, Section
from sightline.server.evaluation.retrieval import (
    retrieval_evaluation,
    retrieval_sections,
    sample_queries,
)
from sightline.server.evaluation.retrieval.json_results import figures
from sightline.server.evaluation.run_file import Line
from sightline.storage.records import collections
from sightline.tools.shared.dependencies import Dependencies

Progress = Callable[[int, int], None]
"""Told how many lines are done, and of how many."""

_TITLE = "Sightline, measured"
_NOTE = (
    "Every search went the way of the tools. Intervals are 95% bootstrap intervals over queries, "
    "the languages of one question drawn together; docs/retrieval.md says what each measure is."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out: sections of a report, and the same figures as JSON."""

    sections: Sequence[Section]
    figures: Any


class Evaluation(Protocol):
    """Measures the lines that are its."""

    async def __call__(
        self, deps: Dependencies, lines: Sequence[Line], collection: str | None, progress: Progress
    ) -> Measured:
        """Raises InvalidArgumentError, naming the line, for what is wrong with one."""
        ...


async def of_retrieval(
    deps: Dependencies, lines: Sequence[Line], collection: str | None, progress: Progress
) -> Measured:
    """Queries with what is relevant."""
    tasks = await retrieval_evaluation.evaluate(deps, lines, collection, progress)
    sections = [
        retrieval_sections.section(task, await sample_queries.exhibits(deps, task))
        for task in tasks
    ]
    return Measured(sections, [figures(task) for task in tasks])


async def of_answers(
    deps: Dependencies,
    lines: Sequence[Line],
    collection: str | None,
    progress: Progress,
    judge: Judge | None = None,
) -> Measured:
    """Questions with their answers, and where there is a judge its marks."""
    scores = await answer_evaluation.evaluate(deps, lines, collection, progress, judge)
    return Measured([answers_presenting.section(scores)], answers_presenting.as_json(scores))


#: By the field that a line has and other kinds of line have not.
EVALUATIONS: dict[str, Evaluation] = {"relevant": of_retrieval, "answer": of_answers}


def sort(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The lines by the field of `EVALUATIONS` that they have; raises for one that has none."""
    sorted_: dict[str, list[Line]] = {}
    for line in lines:
        fields = [field for field in EVALUATIONS if field in line.values]
        if len(fields) != 1:
            wanted = " or ".join(repr(field) for field in EVALUATIONS)
            raise line.error(f"it has {sorted(line.values)}; a line takes {wanted}, and only one")
        sorted_.setdefault(fields[0], []).append(line)
    return sorted_


async def evaluate(
    deps: Dependencies,
    lines: Sequence[Line],
    collection: str | None,
    progress: Progress,
    judge: Judge | None = None,
) -> tuple[Report, dict[str, Any]]:
    """Measure every line by what it has; the report, and all figures as JSON.

    ``judge`` marks answers from 1 to 5.
    """
    by_field = sort(lines)
    facts = await _facts(deps, lines, collection)
    if judge is not None and answer_evaluation.FIELD in by_field:
        facts["judge"] = judge.model.model
    sections: list[Section] = []
    results: dict[str, Any] = dict(facts)
    evaluations = {**EVALUATIONS, answer_evaluation.FIELD: partial(of_answers, judge=judge)}
    for field, own in by_field.items():
        measured = await evaluations[field](deps, own, collection, progress)
        sections += measured.sections
        results[field] = measured.figures
    return Report(_TITLE, list(facts.items()), sections, [_NOTE]), results


async def _facts(
    deps: Dependencies, lines: Sequence[Line], collection: str | None
) -> dict[str, str]:
    """What was measured, by name."""
    encoder = await deps.encoder.get()
    database = await deps.database.get()
    async with database.connection() as connection:
        overviews = await collections.overview(connection)
    named = {collection} if collection else {line.values.get("collection") for line in lines}
    searched = [each for each in overviews if each.name in named or None in named]
    facts = {
        "Sightline": version("sightline"),
        "encoder": str(encoder.identity),
        "collection": ", ".join(each.name for each in searched) or "none",
        "holds": f"{sum(each.assets for each in searched):,} pictures, "
        f"{sum(each.passages for each in searched):,} passages",
        "run file": lines[0].file.name,
        "lines": f"{len(lines):,}",
    }
    if deps.passage_encoder is not None:
        identity = (await deps.passage_encoder.get()).identity
        if identity != encoder.identity:
            facts["passage encoder"] = str(identity)
    return facts
