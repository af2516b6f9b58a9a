"""Questions of a run file, asked in every setting."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.answers import eval_server
from sightline.server.evaluation.answers.ablation import SETTINGS, Progress, Setting, ask_all
from sightline.server.evaluation.answers.answer_metrics import Score
from sightline.server.evaluation.answers.eval_questions import Question
from sightline.server.evaluation.answers.llm_judge import Judge
from sightline.server.evaluation.run_file import Line
from sightline.tools.shared.dependencies import Dependencies

FIELD = "answer"
"""Lines that have it are scored here."""


async def evaluate(
    deps: Dependencies,
    lines: Sequence[Line],
    collection: str | None,
    progress: Progress,
    judge: Judge | None = None,
) -> dict[Setting, list[Score]]:
    """Scores by setting, in the order of the lines.

    Raises InvalidArgumentError, naming the line, for what is wrong with one, and ModelError where
    the model cannot be asked.
    """
    questions = [line.parse(Question) for line in lines]
    sources = await eval_server.sources(deps, questions, collection)
    scores: dict[Setting, list[Score]] = {}
    for before, setting in enumerate(SETTINGS):

        def tell(done: int, of: int, before: int = before) -> None:
            progress(before * of + done, len(SETTINGS) * of)

        scores[setting] = await ask_all(
            deps,
            questions,
            setting,
            sources,
            collection=collection,
            judge=judge,
            progress=tell,
        )
    return scores
