"""Compare the text of PDF pages with that of poppler, word by word.

    python -m benchmarks pdf_text -- FILE_OR_FOLDER... [--every N] [--pages]

Needs the program `pdftotext`. Recall and precision count words, whatever their order. Order is the
share of neighbors: of the pairs of words that follow each other in poppler's text, and of which
both words are in ours, how many follow each other there too. Also measures pdfium's own page text,
its rectangles, and pdfminer.six and pdfplumber if they are installed.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pypdfium2

from benchmarks.tables import print_table
from sightline.storage.ingest.decode.worker.pdf.pages import page_lines
from sightline.storage.ingest.ingest_options import IngestOptions

Extractor = Callable[[Path, int], str]
_HIDDEN = re.compile("[\u00ad\u0002\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


@dataclass
class Agreement:
    """Sums over pages: words in common, and neighbors in common."""

    common: int = 0
    expected: int = 0
    found: int = 0
    pairs_common: int = 0
    pairs: int = 0
    seconds: float = 0.0
    pages: int = 0
    worst: list[tuple[float, str]] = field(default_factory=list)

    def add(self, name: str, reference: list[str], words: list[str], seconds: float) -> None:
        """Add a page."""
        wanted, found = Counter(reference), Counter(words)
        common = wanted & found
        # Only words on both sides: a missing word is counted by the recall.
        expected_pairs = Counter(pairwise(_only(reference, common)))
        pairs = expected_pairs & Counter(pairwise(_only(words, common)))
        self.common += common.total()
        self.expected += len(reference)
        self.found += len(words)
        self.pairs += expected_pairs.total()
        self.pairs_common += pairs.total()
        self.seconds += seconds
        self.pages += 1
        recall = common.total() / max(1, len(reference))
        precision = common.total() / max(1, len(words))
        order = pairs.total() / max(1, expected_pairs.total())
        text = f"{name}: recall {recall:.3f}, precision {precision:.3f}, order {order:.3f}"
        self.worst.append((recall + precision + order, text))

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            str(self.pages),
            f"{self.common / max(1, self.expected):.4f}",
            f"{self.common / max(1, self.found):.4f}",
            f"{self.pairs_common / max(1, self.pairs):.3f}",
            f"{1000 * self.seconds / max(1, self.pages):.0f}",
        )


def _only(words: list[str], common: Counter[str]) -> list[str]:
    return [word for word in words if word in common]


def words_of(text: str) -> list[str]:
    """Return the words of a text: ligatures as letters, no soft hyphens, no marks of direction."""
    return _HIDDEN.sub("", unicodedata.normalize("NFKC", text)).split()


def poppler_text(path: Path, page: int) -> str:
    command = ["pdftotext", "-f", str(page), "-l", str(page), "-enc", "UTF-8", str(path), "-"]
    result = subprocess.run(command, capture_output=True, check=False)
    return result.stdout.decode("utf-8", "replace")


def sightline_text(path: Path, page: int) -> str:
    return "\n".join(text for text, *_ in page_lines(path.read_bytes(), page, IngestOptions()))


def pdfium_text(path: Path, page: int) -> str:
    document = pypdfium2.PdfDocument(path)
    try:
        text: str = document[page - 1].get_textpage().get_text_range()
    finally:
        document.close()
    return text


def rectangles_text(path: Path, page: int) -> str:
    """Return the rectangles of pdfium's text, joined by lines."""
    document = pypdfium2.PdfDocument(path)
    try:
        text = document[page - 1].get_textpage()
        boxes = [text.get_rect(number) for number in range(text.count_rects())]
        return "\n".join(text.get_text_bounded(*box) for box in boxes)
    finally:
        document.close()


def pdfminer_text(path: Path, page: int) -> str:
    from pdfminer.high_level import extract_text

    return str(extract_text(path, page_numbers=[page - 1]))


def pdfplumber_text(path: Path, page: int) -> str:
    import pdfplumber

    with pdfplumber.open(path) as document:
        return document.pages[page - 1].extract_text() or ""


def extractors() -> dict[str, Extractor]:
    """Return the ways to read a page that are installed."""
    found: dict[str, Extractor] = {
        "sightline": sightline_text,
        "pdfium text": pdfium_text,
        "pdfium rectangles": rectangles_text,
    }
    if find_spec("pdfminer"):
        found["pdfminer.six"] = pdfminer_text
    if find_spec("pdfplumber"):
        found["pdfplumber"] = pdfplumber_text
    return found


def pages_of(paths: Sequence[Path], every: int) -> list[tuple[Path, int]]:
    """Return each ``every``-th page (from 1) of all documents."""
    pages: list[tuple[Path, int]] = []
    for path in paths:
        files = sorted(path.rglob("*.pdf")) if path.is_dir() else [path]
        for file in files:
            try:
                count = len(pypdfium2.PdfDocument(io.BytesIO(file.read_bytes())))
            except pypdfium2.PdfiumError:
                continue
            pages += [(file, number) for number in range(1, count + 1)]
    return pages[::every]


async def main(arguments: Sequence[str]) -> None:
    """Print the agreement of each extractor, and the worst pages of ours."""
    parser = argparse.ArgumentParser(prog="benchmarks pdf_text", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", help="one extractor")
    parser.add_argument("--worst", type=int, default=12)
    options = parser.parse_args(arguments)
    if shutil.which("pdftotext") is None:
        parser.error("pdftotext is not installed; it is in the package poppler-utils.")
    agreements: defaultdict[str, Agreement] = defaultdict(Agreement)
    for path, page in pages_of(options.paths, options.every):
        reference = words_of(poppler_text(path, page))
        if not reference:
            continue
        for name, extract in extractors().items():
            if options.only and name != options.only:
                continue
            started = time.process_time()
            words = words_of(extract(path, page))
            seconds = time.process_time() - started
            agreements[name].add(f"{path.name} {page}", reference, words, seconds)
    columns = ["", "pages", "recall", "precision", "order", "CPU ms/page"]
    print_table("Words of pages, compared with poppler", columns, [
        [name, *each.cells] for name, each in agreements.items()
    ])  # fmt: skip
    first = next(iter(agreements.values()), Agreement())
    for _, text in sorted(first.worst)[: options.worst]:
        print(f"  {text}")
