"""``sightline eval``: measure retrieval and answer quality with a run file."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sightline.server.cli.cli_context import open_dependencies
from sightline.server.config import Settings, load_settings
from sightline.server.evaluation.calibration.confidence_fit import to_json
from sightline.server.evaluation.calibration.model_calibration import (
    CALIBRATIONS,
    calibrate_model,
    safe_name,
)
from sightline.server.evaluation.evaluators import ANSWER_FIELD, evaluate
from sightline.server.evaluation.llm_judge import open_judge
from sightline.server.evaluation.report_model import EvalReport, render_markdown
from sightline.server.evaluation.run_file import RunFileLine, load_run_file
from sightline.server.observability import logs
from sightline.server.observability.terminal import progress_bar, write_json, write_lines
from sightline.server.reports import evaluation_page
from sightline.storage.files import write_private


def configure_eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_file", type=Path, metavar="RUN.jsonl", help="queries with expected results or answers"
    )
    parser.add_argument(
        "--collection", help="collection for lines that name none (default: all collections)"
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="fit the confidence of the model to the questions and store it in the data folder",
    )
    judge = parser.add_argument_group("ratings of answers, from 1 to 5")
    judge.add_argument(
        "--judge", metavar="URL", help="endpoint of the judge model (SIGHTLINE_JUDGE__BASE_URL)"
    )
    judge.add_argument(
        "--judge-model", metavar="NAME", help="name of the judge model (SIGHTLINE_JUDGE__MODEL)"
    )
    add_output_arguments(parser)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `evaluate_and_write`."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("sightline-eval"),
        metavar="FOLDER",
        help="folder for report.html, report.md and results.json (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="also print the results as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


async def run_eval(arguments: argparse.Namespace) -> None:
    """Evaluate and write the report; the exit code does not depend on the results."""
    judge = {"judge__base_url": arguments.judge, "judge__model": arguments.judge_model}
    settings = load_settings(**{name: value for name, value in judge.items() if value is not None})
    lines = load_run_file(arguments.run_file)
    if arguments.calibrate:
        await _calibrate(settings, lines, arguments)
        return
    await evaluate_and_write(settings, lines, arguments.collection, arguments)


async def _calibrate(
    settings: Settings, lines: list[RunFileLine], arguments: argparse.Namespace
) -> None:
    """Fit the calibration of the model to the questions, and store it."""
    logs.configure(settings, is_command=True)
    with progress_bar(shown=not arguments.quiet) as update:
        async with open_dependencies(settings) as deps:
            fitted = await calibrate_model(
                deps,
                lines,
                arguments.collection,
                lambda done, total: update("answering", done, total, ""),
            )
    folder = settings.data_dir / CALIBRATIONS
    path = folder / f"{safe_name(fitted.model)}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_private(path, to_json(fitted))
    limits = fitted.thresholds
    write_lines(
        f"{fitted.provenance['answers']} answers, {fitted.provenance['accuracy']:.0%} right.",
        f"An answer without support needs a confidence of {limits.answered:.2f}.",
        f"Wrote {path}. A server that runs uses it after its next start.",
        error=True,
    )


async def evaluate_and_write(
    settings: Settings,
    lines: list[RunFileLine],
    collection: str | None,
    arguments: argparse.Namespace,
) -> None:
    """Evaluate the lines and write the report; see `add_output_arguments`."""
    logs.configure(settings, is_command=True)
    needs_judge = any(ANSWER_FIELD in line.values for line in lines)
    with progress_bar(shown=not arguments.quiet) as update:
        async with (
            open_judge(settings) if needs_judge else nullcontext() as judge,
            open_dependencies(settings) as deps,
        ):
            report, results = await evaluate(
                deps,
                lines,
                collection,
                lambda done, total: update("evaluating", done, total, ""),
                judge,
            )
    _write(report, results, arguments)


def _write(report: EvalReport, results: dict[str, Any], arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, ensure_ascii=False, indent=1)
    page = out / "report.html"
    write_private(out / "results.json", text + "\n")
    write_private(out / "report.md", render_markdown(report))
    write_private(page, evaluation_page.render(report))
    if arguments.json:
        write_json(results)
    for section in report.sections:
        headlines = "; ".join(f"{each.label} {each.value}" for each in section.headlines)
        write_lines(f"{section.title}: {headlines}", error=True)
    write_lines(f"Report: {page.resolve().as_uri()}", error=True)
