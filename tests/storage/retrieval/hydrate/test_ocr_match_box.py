"""Boxes of what was read in a picture are those of the words that were looked for."""

import pytest

from sightline.storage.retrieval.hydrate.ocr_match_box import box_of
from sightline.storage.types import Box

TOP, MIDDLE, END = (0.1, 0.1, 0.9, 0.2), (0.1, 0.4, 0.5, 0.5), (0.2, 0.8, 0.6, 0.9)
LINES = [(TOP, "Harbour Hardware"), (MIDDLE, "Cash 31.00"), (END, "Total 30.90 合计金额")]


@pytest.mark.parametrize(
    ("terms", "box"),
    [
        (("total",), END),
        (("hardwar",), TOP),
        (("金额",), END),
        (("total", "30.90", "cash"), (0.1, 0.4, 0.6, 0.9)),
        (("harbour", "total"), (0.1, 0.1, 0.9, 0.9)),
        (("ash",), None),
        (("a",), None),
        ((), None),
    ],
)
def test_the_fewest_lines_that_hold_the_terms_are_the_box(
    terms: tuple[str, ...], box: Box | None
) -> None:
    assert box_of(LINES, terms) == box


def test_nothing_stands_on_no_lines() -> None:
    assert box_of([], ("total",)) is None
