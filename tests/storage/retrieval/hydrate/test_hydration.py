"""Match boxes cover the OCR lines that contain the query terms."""

import pytest

from sightline.storage.retrieval.hydrate.hydration import match_box
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
def test_the_match_box_covers_the_fewest_lines_that_contain_all_terms(
    terms: tuple[str, ...], box: Box | None
) -> None:
    assert match_box(LINES, terms) == box


def test_no_lines_have_no_match_box() -> None:
    assert match_box([], ("total",)) is None
