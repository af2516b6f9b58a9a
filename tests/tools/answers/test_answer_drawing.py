"""The claims of an answer are drawn with their checks and a legend."""

from __future__ import annotations

from PIL import Image

from sightline.storage.ingest.decode.render.drawing import draw
from sightline.storage.ingest.decode.render.overlays import BoxOverlay
from sightline.tools.answers.answer_drawing import claim_overlays
from sightline.tools.answers.answer_results import CheckBox, ClaimCheckResult, ClaimResult
from sightline.tools.shared.overlay_uri import decode_overlays, overlay_code

BOX = (0.1, 0.1, 0.4, 0.4)
OTHER = (0.5, 0.5, 0.9, 0.9)


def claim(*boxes: tuple[float, float, float, float], box: object = None) -> ClaimResult:
    check = ClaimCheckResult(
        check="count",
        outcome="contradicted",
        reason="the detector counts 2 of 'van'",
        boxes=[CheckBox(label="van", box=each, score=0.9, origin="detector") for each in boxes],
        milliseconds=80.0,
    )
    return ClaimResult(
        text="3", citations=[1], verdict="contradicted", reasons=[], box=box, checks=[check]
    )


def test_the_claim_and_its_checks_have_boxes_and_reasons() -> None:
    own, first, second = claim_overlays(claim(BOX, OTHER, box=BOX))
    assert own == BoxOverlay(BOX, "[1] 3", "claim: 3: contradicted")
    assert (first.box, second.box) == (BOX, OTHER)
    assert first.label == "check: van"
    assert first.legend == "check of count: contradicted: the detector counts 2 of 'van'"


def test_a_claim_without_a_box_is_in_the_legend_of_its_check() -> None:
    (only,) = claim_overlays(claim(BOX))
    assert only.legend.startswith("claim: 3: contradicted; check of count: contradicted")
    assert list(claim_overlays(claim())) == []


def test_the_legend_is_below_the_image_in_the_color_of_its_box() -> None:
    image = Image.new("RGB", (300, 200), "white")
    drawn = draw(image, [BoxOverlay(BOX, "a", "one"), BoxOverlay(OTHER, "b", "two")])
    assert drawn.width == 300
    assert drawn.height > 230
    rows = drawn.crop((290, 200, 300, drawn.height)).getcolors(10_000)
    edges = {drawn.getpixel((30 - 2, 50)), drawn.getpixel((150 - 2, 140))}
    assert edges <= {color for _, color in rows or ()}
    assert draw(image, [BoxOverlay(BOX, "a")]).size == image.size


def test_a_link_keeps_the_legend() -> None:
    overlays = [BoxOverlay(BOX, "a", "one"), BoxOverlay(OTHER, "b")]
    code = overlay_code(overlays, "box")
    assert code is not None
    assert decode_overlays(code) == (overlays, "box")
