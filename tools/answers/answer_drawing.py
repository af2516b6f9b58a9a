"""Draw the claims of an answer, and what their checks found, on the cited image."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.storage.ingest.decode.render.overlays import BoxOverlay
from sightline.tools.answers.answer_results import ClaimCheckResult, ClaimResult
from sightline.tools.shared.images import parse_box

_MAX_SHOWN_BOXES = 12


def claim_overlays(claim: ClaimResult) -> Iterator[BoxOverlay]:
    """Yield the box of a claim and those of its checks, with a legend.

    The legend has the claim with its verdict, and each check with its outcome and reason. A claim
    without a box that a check did not find anywhere has no overlay.
    """
    found = [(check, box) for check in claim.checks or () for box in check.boxes or ()]
    if claim.box is None and not found:
        return
    legend = f"claim: {claim.text}: {claim.verdict}"
    if claim.box is not None:
        label = f"[{claim.citations[0]}] {claim.text}"
        yield BoxOverlay(parse_box(claim.box), label, legend)
    for number, (check, box) in enumerate(found[:_MAX_SHOWN_BOXES]):
        text = _legend(check)
        if number == 0 and claim.box is None:
            # Without its own box, the claim is in the legend of the first check.
            text = legend if len(found) > 1 else f"{legend}; {text}"
        yield BoxOverlay(parse_box(box.box), f"check: {box.label}", text)


def _legend(check: ClaimCheckResult) -> str:
    return f"check of {check.check}: {check.outcome}: {check.reason}"
