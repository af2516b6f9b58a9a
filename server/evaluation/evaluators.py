"""Evaluate a run file: `relevant` lines as searches, `answer` lines as questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sightline.server.config.package_version import package_version
from sightline.server.evaluation.ablation import evaluate_questions
from sightline.server.evaluation.answer_metrics import EvalQuestion
from sightline.server.evaluation.answer_sections import answer_section, answers_to_json
from sightline.server.evaluation.report_model import EvalReport, ReportSection
from sightline.server.evaluation.retrieval_evaluation import run_queries
from sightline.server.evaluation.retrieval_results import require_ir_measures
from sightline.server.evaluation.retrieval_sections import retrieval_section
from sightline.server.evaluation.run_file import ProgressCallback, RunFileLine
from sightline.storage.records import collections
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.vlm.vision_language_model import VisionLanguageModel

RETRIEVAL_FIELD = "relevant"
ANSWER_FIELD = "answer"

_FIELDS = (RETRIEVAL_FIELD, ANSWER_FIELD)
_TITLE = "Sightline evaluation"
_NOTE = (
    "All searches are the tools' own searches. Intervals are 95% bootstrap intervals over queries; "
    "translations of one question are resampled together. The metrics are defined in "
    "docs/explanation/retrieval.md."
)


def group_by_field(lines: Sequence[RunFileLine]) -> dict[str, list[RunFileLine]]:
    """Group the lines by their evaluator field. Raises if a line has none or both."""
    groups: dict[str, list[RunFileLine]] = {}
    for line in lines:
        fields = [field for field in _FIELDS if field in line.values]
        if len(fields) != 1:
            expected = " or ".join(map(repr, _FIELDS))
            raise line.error(
                f"the fields are {sorted(line.values)}; a line needs exactly one of {expected}"
            )
        groups.setdefault(fields[0], []).append(line)
    return groups


async def evaluate(
    deps: Dependencies,
    lines: Sequence[RunFileLine],
    collection: str | None,
    progress: ProgressCallback,
    judge: VisionLanguageModel | None = None,
) -> tuple[EvalReport, dict[str, Any]]:
    """Evaluate all lines; return the report and all results as JSON.

    Lines that name no collection search ``collection`` (``None``: all). ``judge`` rates answers.
    Raises InvalidArgumentError, naming the line, for a wrong line, and ConfigurationError without
    ir-measures.
    """
    groups = group_by_field(lines)
    if RETRIEVAL_FIELD in groups:
        require_ir_measures()
    facts = await _facts(deps, lines, collection)
    if judge is not None and ANSWER_FIELD in groups:
        facts["judge"] = judge.model
    sections: list[ReportSection] = []
    results: dict[str, Any] = dict(facts)
    for field, group in groups.items():
        if field == RETRIEVAL_FIELD:
            tasks = await run_queries(deps, group, collection, progress)
            sections += [await retrieval_section(deps, each) for each in tasks]
            results[field] = [each.to_json() for each in tasks]
        else:
            questions = [line.parse(EvalQuestion) for line in group]
            scores = await evaluate_questions(deps, questions, collection, progress, judge=judge)
            sections.append(answer_section(scores))
            results[field] = answers_to_json(scores)
    return EvalReport(_TITLE, list(facts.items()), sections, [_NOTE]), results


async def _facts(
    deps: Dependencies, lines: Sequence[RunFileLine], collection: str | None
) -> dict[str, str]:
    encoder = await deps.encoder.get()
    database = await deps.database.get()
    async with database.connection() as connection:
        overviews = await collections.list_overviews(connection)
    names = {collection} if collection else {line.values.get("collection") for line in lines}
    searched = [each for each in overviews if each.name in names or None in names]
    facts = {
        "Sightline": package_version(),
        "encoder": str(encoder.identity),
        "collection": ", ".join(each.name for each in searched) or "none",
        "contents": f"{sum(each.assets for each in searched):,} images, "
        f"{sum(each.passages for each in searched):,} passages",
        "run file": lines[0].path.name,
        "lines": f"{len(lines):,}",
    }
    if deps.passage_encoder is not None:
        identity = (await deps.passage_encoder.get()).identity
        if identity != encoder.identity:
            facts["passage encoder"] = str(identity)
    return facts
