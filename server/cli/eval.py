"""``sightline eval``: how well is what is asked for found, and answered?"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.server.config.settings import Settings, load

if TYPE_CHECKING:
    from rich.console import Console

    from sightline.server.evaluation.evaluators import Progress
    from sightline.server.evaluation.report_model import Report
    from sightline.server.evaluation.run_file import Line

HELP = "measure retrieval and answers on queries of your own, or retrieval on a drawn album"

_PATIENCE_SECONDS = 600.0
_REPORT = "report"
_RESULTS = "results.json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run_file", nargs="?", type=Path, metavar="RUN.jsonl", help="what to ask")
    parser.add_argument("--collection", help="searched by queries that name none (default: all)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("sightline-eval"),
        metavar="FOLDER",
        help="for report.html, report.md and results.json (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON as well")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    judge = parser.add_argument_group("marks for answers, from 1 to 5")
    judge.add_argument(
        "--judge", metavar="URL", help="a model's endpoint (SIGHTLINE_JUDGE_BASE_URL)"
    )
    judge.add_argument("--judge-model", metavar="NAME", help="its name (SIGHTLINE_JUDGE_MODEL)")
    own = parser.add_argument_group("without a run file")
    own.add_argument(
        "--self", action="store_true", help="draw an album, ingest it, derive queries, measure"
    )
    own.add_argument("--count", type=int, default=360, help="pictures to draw (%(default)s)")
    own.add_argument("--seed", type=int, default=0, help="of the drawing (%(default)s)")
    own.add_argument("--album", type=Path, help="a folder of `sightline world` instead")
    own.add_argument("--tiles", action="store_true", help="parts of the pictures have vectors too")
    own.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="keeps the album and its database, so that the next run need not read it again",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and write the report; exit code 0 whatever the figures are."""
    from sightline.server.evaluation import run_file as lines
    from sightline.storage.errors import ConfigurationError

    if arguments.self == (arguments.run_file is not None):
        raise ConfigurationError("name a run file, or give --self, and not both")
    if arguments.self and _judge(arguments):
        raise ConfigurationError("--judge marks answers, and --self asks for none: name a run file")
    if not arguments.self:
        settings = load(loading_wait_seconds=_PATIENCE_SECONDS, **_judge(arguments))
        return _measure(arguments, settings, lines.read(arguments.run_file), arguments.collection)
    if arguments.work is not None:
        return _measure_self(arguments, arguments.work)
    with tempfile.TemporaryDirectory(prefix="sightline-eval-") as folder:
        return _measure_self(arguments, Path(folder))


def _judge(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that the options set."""
    given = {"judge_base_url": arguments.judge, "judge_model": arguments.judge_model}
    return {name: value for name, value in given.items() if value is not None}


def _measure_self(arguments: argparse.Namespace, work: Path) -> int:
    from rich.console import Console

    from benchmarks import synthetic_album
    from sightline.server.cli.ingest import ingest_paths, progress_bar
    from sightline.server.evaluation import run_file as lines
    from sightline.server.observability import logs

    settings = load(
        data_dir=work / "data",
        database_url=None,
        ocr="on",
        loading_wait_seconds=_PATIENCE_SECONDS,
        log_level="warning",
    )
    logs.configure(settings)
    collection, folder = _album(arguments, work)
    with progress_bar(Console(stderr=True), shown=not arguments.quiet) as progress:
        summary = asyncio.run(
            ingest_paths(
                settings,
                [folder / synthetic_album.ALBUM],
                collection,
                progress,
                tiles=arguments.tiles,
            )
        )
    failed = [str(each) for noted in summary.failures.values() for each in noted.examples]
    if failed:
        print(f"not ingested: {'; '.join(failed)}", file=sys.stderr)
    return _measure(arguments, settings, lines.read(folder / synthetic_album.QUERIES), collection)


def _album(arguments: argparse.Namespace, work: Path) -> tuple[str, Path]:
    """The collection's name and the folder with the album and its queries, made where it is not."""
    from benchmarks import synthetic_album

    name = f"{synthetic_album.COLLECTION}-{arguments.count}-{arguments.seed}"
    if arguments.album is not None:
        name = f"{synthetic_album.COLLECTION}-{arguments.album.resolve().name}"
    if arguments.tiles:
        name += "-tiles"
    folder = work / name
    if not (folder / synthetic_album.QUERIES).exists():
        import shutil

        shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
        if arguments.album is None:
            synthetic_album.draw(folder, count=arguments.count, seed=arguments.seed)
        else:
            synthetic_album.prepare(arguments.album, folder)
    return name, folder


def _measure(
    arguments: argparse.Namespace, settings: Settings, lines: list[Line], collection: str | None
) -> int:
    from rich.console import Console

    from sightline.server.evaluation import markdown_report
    from sightline.server.observability import logs
    from sightline.server.reports import evaluation_page

    logs.configure(settings)
    console = Console(stderr=True)
    with _bar(console, shown=not arguments.quiet) as progress:
        report, results = asyncio.run(_evaluate(settings, lines, collection, progress))
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, ensure_ascii=False, indent=1)
    (out / _RESULTS).write_text(text + "\n", encoding="utf-8")
    (out / f"{_REPORT}.md").write_text(markdown_report.write(report), encoding="utf-8")
    (out / f"{_REPORT}.html").write_text(evaluation_page.write(report), encoding="utf-8")
    if arguments.json:
        print(text)
    for section in report.sections:
        said = "; ".join(f"{each.label} {each.value}" for each in section.headlines)
        print(f"{section.title}: {said}", file=sys.stderr)
    print(f"The report: {(out / f'{_REPORT}.html').resolve().as_uri()}", file=sys.stderr)
    return 0


async def _evaluate(
    settings: Settings, lines: list[Line], collection: str | None, progress: Progress
) -> tuple[Report, dict[str, object]]:
    from sightline.server.cli import cli_context
    from sightline.server.evaluation.answers import answer_evaluation, llm_judge
    from sightline.server.evaluation.evaluators import evaluate

    asked = any(answer_evaluation.FIELD in line.values for line in lines)
    bench = llm_judge.opened(settings) if asked else nullcontext()
    async with bench as judge, cli_context.opened(settings) as deps:
        return await evaluate(deps, lines, collection, progress, judge)


@contextmanager
def _bar(console: Console, *, shown: bool) -> Iterator[Progress]:
    from rich.progress import Progress as Bar

    with Bar(console=console, disable=not shown) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
