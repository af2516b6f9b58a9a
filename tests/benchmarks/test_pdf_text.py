"""The text of generated PDF pages agrees with that of poppler."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.pdf_samples import Writer, write_reportlab_documents
from benchmarks.pdf_text import Agreement, pages_of, poppler_text, sightline_text, words_of

# Poppler reads the table that is turned by columns, and without `[x]` for ticked boxes.
OTHER_ORDER = {"reportlab-sideways.pdf", "reportlab-form.pdf"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext")
def test_words_and_their_order_agree_with_poppler(tmp_path: Path) -> None:
    write_reportlab_documents(tmp_path, Writer(0))
    agreement = Agreement()
    for path, page in pages_of([tmp_path], 1):
        if path.name not in OTHER_ORDER:
            reference = words_of(poppler_text(path, page))
            agreement.add(path.name, reference, words_of(sightline_text(path, page)), 0.0)
    assert agreement.pages >= 15
    recall, precision, order = map(float, agreement.cells[1:4])
    assert min(recall, precision) >= 0.985
    assert order >= 0.90


def test_agreement_counts_words_and_neighbors() -> None:
    agreement = Agreement()
    agreement.add("a", ["one", "two", "three", "four"], ["three", "four", "one", "five"], 0.5)
    assert agreement.cells == ("1", "0.7500", "0.7500", "0.500", "500")
