"""Ingest the public test files of other projects: none may crash or hang.

    python -m benchmarks public_files -- FOLDER

Downloads source distributions into FOLDER (once), takes their test files, and ingests them by
suffix into a fresh database with the normal limits. Prints for each suffix how many files were
read, refused, and so on. Ends with 1 if a decoder crashed, a file took too long, a suffix hung, or
a refusal has no reason or no advice.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.environment import temporary_settings
from benchmarks.tables import print_table
from sightline.server.cli.cli_context import open_dependencies
from sightline.server.cli.library.ingest import ingest
from sightline.storage.errors import SightlineError
from sightline.storage.ingest.failed_files import ADVICE
from sightline.storage.ingest.progress import IngestSummary
from sightline.tools.shared.dependencies import Dependencies

#: Projects whose source distributions contain test files.
PACKAGES: Final = (
    *("pillow", "pillow-heif", "piexif", "ExifRead", "rawpy", "imageio", "pydicom"),
    *("pypdf", "pdfplumber", "pikepdf", "pdfminer.six", "ocrmypdf"),
    *("openpyxl", "python-docx", "python-pptx", "odfpy", "EbookLib", "mail-parser"),
    *("mutagen", "tinytag", "webvtt-py", "pysubs2", "py7zr", "charset-normalizer"),
)
_DOWNLOAD_SECONDS = 300
#: What is more than this for each file, a suffix hangs; some files may take a minute each.
_SECONDS_PER_FILE = 20.0
_SECONDS_PER_SUFFIX = 300.0
_TEST_FOLDER = re.compile(
    r"(?:^|/)(?:tests?|testing|test_?files|test_?data|samples?|data|resources|features|mails|pdfs)/",
    re.IGNORECASE,
)
#: Source code, build files and expected results of the tests.
_SKIPPED: Final = frozenset(
    {".py", ".pyi", ".pyc", ".pyx", ".pxd", ".c", ".h", ".cpp", ".cfg", ".toml", ".ini", ".in"}
    | {".sh", ".bat", ".feature", ".rst", ".yml", ".yaml", ".lock", ".pickle", ".pkl", ".po"}
    | {".mo", ".so", ".license"}
)
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.,x]*|\(.*\)|/\S+")
_MAX_REASONS = 6


@dataclass(slots=True)
class SuffixReport:
    """The outcome of the files with one suffix.

    ``refused``: the number of files by code and reason; ``unexplained`` have no reason or advice.
    """

    files: int
    read: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    crashed: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, summary: IngestSummary) -> None:
        """Add the result of an ingest with all of its problems."""
        self.read = summary.added + summary.replaced + summary.updated
        self.duplicates = summary.duplicate + summary.unchanged
        for code, noted in summary.failures.items():
            for name, reason in noted.examples:
                if code in ("crashed", "timeout"):
                    (self.crashed if code == "crashed" else self.hung).append(f"{name}: {reason}")
                if not reason or not ADVICE.get(code):
                    self.unexplained.append(f"{name}: {code}")
                kind = f"{code}: {_VARIABLE.sub('…', reason)[:100]}"
                self.refused[kind] += 1
                self.examples.setdefault(kind, Path(name).name)
        for code, noted in summary.warnings.items():
            self.warnings[code] += noted.count


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    download(options.folder / "sdists", options.packages)
    (options.folder / "files").mkdir(exist_ok=True)
    files = unpack(options.folder / "sdists", options.folder / "files")
    if not files:
        sys.exit("No test files: are the packages downloaded?")
    with temporary_settings(ingest__ocr=options.ocr) as settings:
        async with open_dependencies(settings) as deps:
            reports = await ingest_by_suffix(deps, files)
    print_reports(reports)
    if any(each.crashed or each.hung or each.unexplained for each in reports.values()):
        sys.exit("Some files crashed their decoder, took too long, or were refused without advice.")


def download(folder: Path, packages: Sequence[str]) -> None:
    """Download the missing source distributions with pip."""
    folder.mkdir(parents=True, exist_ok=True)
    have = {_normalized(path.name.rsplit("-", 1)[0]) for path in folder.iterdir()}
    for package in packages:
        if _normalized(package) in have:
            continue
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", package, "--dest", str(folder), package]
        try:
            subprocess.run(command, check=True, timeout=_DOWNLOAD_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{package} was not downloaded: {error}", file=sys.stderr)


def unpack(sdists: Path, folder: Path) -> dict[str, list[Path]]:
    """Unpack the source distributions; return their test files by suffix in lower case."""
    by_suffix: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(sdists.iterdir()):
        target = folder / path.name.removesuffix(".tar.gz").removesuffix(".zip")
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                if path.suffix == ".zip":
                    shutil.unpack_archive(path, temporary)
                else:
                    _unpack_tar(path, Path(temporary))
                Path(temporary).rename(target)
                Path(temporary).mkdir()
        for file in sorted(target.rglob("*")):
            if file.is_file() and _is_test_file(file.relative_to(target)):
                by_suffix[file.suffix.lower() or "(none)"].append(file)
    return dict(sorted(by_suffix.items()))


def _unpack_tar(path: Path, folder: Path) -> None:
    """Extract the regular files below the folder; Python before 3.11.4 has no filters."""
    with tarfile.open(path) as archive:
        for member in archive:
            target = (folder / member.name).resolve()
            if member.isreg() and target.is_relative_to(folder.resolve()):
                target.parent.mkdir(parents=True, exist_ok=True)
                if (content := archive.extractfile(member)) is not None:
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file)


def _is_test_file(path: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.parts)
    is_test = _TEST_FOLDER.search(path.as_posix()) is not None
    return is_test and not is_hidden and path.suffix.lower() not in _SKIPPED


async def ingest_by_suffix(
    deps: Dependencies, files: Mapping[str, Sequence[Path]]
) -> dict[str, SuffixReport]:
    """Ingest the files of each suffix, one suffix after the other."""
    reports: dict[str, SuffixReport] = {}
    for suffix, paths in files.items():
        report = reports[suffix] = SuffixReport(len(paths))
        limit = _SECONDS_PER_SUFFIX + _SECONDS_PER_FILE * len(paths)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(limit):
                report.add(await ingest(deps, paths, "public", max_examples=None))
        except TimeoutError:
            report.hung.append(f"all files of {suffix} together: more than {limit:g} s")
        except SightlineError as error:
            report.unexplained.append(f"the ingest stopped: {error}")
        report.seconds = time.perf_counter() - started
        problems = "; ".join(report.unexplained[:3])
        print(f"{suffix}: {report.read} of {report.files} read {problems}", file=sys.stderr)
    return reports


def print_reports(reports: Mapping[str, SuffixReport]) -> None:
    """Print one row for each suffix, then reasons and warnings."""
    total = SuffixReport(sum(each.files for each in reports.values()))
    rows = []
    for suffix, each in reports.items():
        rows.append([suffix, *_cells(each)])
        total.read += each.read
        total.duplicates += each.duplicates
        total.seconds += each.seconds
        for name in ("refused", "warnings"):
            getattr(total, name).update(getattr(each, name))
        for name in ("crashed", "hung", "unexplained"):
            getattr(total, name).extend(getattr(each, name))
    columns = ["suffix", "files", "read", "same", "refused", "crashed", "hung", "warnings", "s"]
    print_table("Public test files", columns, [*rows, ["all", *_cells(total)]])
    for suffix, each in reports.items():
        for kind, count in each.refused.most_common(_MAX_REASONS):
            print(f"  {suffix}: {count} {kind} [{each.examples[kind]}]")
        if each.warnings:
            listed = ", ".join(f"{count} {code}" for code, count in each.warnings.most_common())
            print(f"  {suffix}: warnings: {listed}")
    for title in ("crashed", "hung", "unexplained"):
        for line in getattr(total, title):
            print(f"  {title}: {line}")


def _cells(each: SuffixReport) -> list[str]:
    refused, warnings = sum(each.refused.values()), sum(each.warnings.values())
    counts = (each.files, each.read, each.duplicates, refused, len(each.crashed), len(each.hung))
    return [*map(str, (*counts, warnings)), f"{each.seconds:.0f}"]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks public_files")
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="for downloads; not in the repository"
    )
    parser.add_argument("--packages", nargs="+", default=PACKAGES, metavar="NAME")
    parser.add_argument("--ocr", choices=("off", "auto", "on"), default="off")
    return parser.parse_args(arguments)
