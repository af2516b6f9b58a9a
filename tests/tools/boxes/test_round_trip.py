"""A box survives resizing, padding, rotation and every box format."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from sightline.storage.types import Box
from sightline.tools.boxes import letterbox
from sightline.tools.boxes.box_parser import parse_boxes
from sightline.tools.boxes.geometry import Size, iou, to_pixels
from sightline.tools.boxes.model_families import FAMILIES, choose_profile
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.boxes.notations import format_boxes
from sightline.training.vlm.data import letterbox as training_letterbox

WITH_BOXES = [family for family in FAMILIES if family.box_format is not None]
SHARE = st.floats(0, 1, allow_nan=False)


def precision(profile: Profile, size: Size) -> tuple[float, float]:
    """Return how far rounding may move a corner, normalized."""
    assert profile.box_format is not None
    placement = profile.place(size)
    left, top, right, bottom = placement.content
    across, down = profile.box_format.extents(placement.sent)
    # Kosmos names cells and means their middles; bins end one before the far edge.
    digits = {"kosmos": 1.0, "paligemma": 1.0, "florence": 1.0}
    step = digits.get(profile.box_format.notation, 0.5 * 10**-profile.box_format.decimals) + 1e-6
    return (
        step / across * placement.sent[0] / (right - left),
        step / down * placement.sent[1] / (bottom - top),
    )


@pytest.mark.parametrize("family", WITH_BOXES, ids=lambda family: family.name)
@pytest.mark.parametrize("as_json", [False, True], ids=["plain", "json"])
@given(
    size=st.tuples(st.integers(2, 3001), st.integers(2, 3001)),
    extent=st.tuples(SHARE, SHARE),
    corner=st.tuples(SHARE, SHARE),
)
def test_every_family_reads_what_it_writes(
    family: Profile,
    as_json: bool,
    size: Size,
    extent: tuple[float, float],
    corner: tuple[float, float],
) -> None:
    assert family.box_format is not None
    across, down = precision(family, size)
    # An image so narrow that no box in it can be told from a line has none.
    assume(4.1 * max(across, down) < 1)
    # Any box that is large enough to be told, anywhere.
    wide, high = (4.1 * p + e * (1 - 4.1 * p) for p, e in zip((across, down), extent, strict=True))
    left, top = corner[0] * (1 - wide), corner[1] * (1 - high)
    box = (left, top, min(left + wide, 1.0), min(top + high, 1.0))
    placement = family.place(size)
    text = format_boxes([("red car", box)], family, placement)
    if as_json and family.box_format.notation == "brackets":
        numbers = family.box_format.from_sent(placement.to_sent(box), placement.sent)
        text = json.dumps([{family.box_format.key: numbers, "label": "red car"}])
    found = parse_boxes(text, family, placement)
    assert found.status in ("found", "repaired"), found
    (mark,) = found.boxes
    expected = box
    if family.box_format.points:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        expected = (x, y, x, y)
    for index, (got, wanted) in enumerate(zip(mark.box, expected, strict=True)):
        assert got == pytest.approx(wanted, abs=(across, down)[index % 2]), text


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(401, 299), (150, 333), (97, 97)])
@pytest.mark.parametrize(
    "name", ["llava-1.5", "qwen2.5-vl", "internvl", "paligemma", "builtin-llava", "llava-pixels"]
)
def test_a_box_survives_rotation_and_padding(name: str, size: Size, orientation: int) -> None:
    profile = choose_profile("", name)
    stored = Image.new("RGB", size, (20, 60, 200))
    stored.paste((250, 0, 0), (size[0] // 2, size[1] // 5, size[0] // 2 + 40, size[1] // 5 + 30))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)

    original = letterbox.upright(Image.open(io.BytesIO(buffer.getvalue())))
    truth = _red_box(original)
    placement = profile.place(original.size)
    sent = letterbox.render(profile.fit, original)
    assert sent.size == placement.sent

    seen = placement.to_original(_red_box(sent))
    text = format_boxes([("red", seen)], profile, placement)
    (mark,) = parse_boxes(text, profile, placement).boxes
    assert iou(mark.box, _shares(truth, original.size)) > 0.8
    assert to_pixels(mark.box, original.size) == mark.pixels


def _red_box(image: Image.Image) -> Box:
    """Return the box of the red pixels."""
    red = np.asarray(image, dtype=np.int16)
    mask = (red[..., 0] - red[..., 2]) > 40
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _shares(box: Box, size: Size) -> Box:
    return box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_qwen25_does_not_resize_our_images_again(width: int, height: int) -> None:
    sent_width, sent_height = choose_profile("qwen2.5-vl").place((width, height)).sent
    assert sent_width % 28 == 0
    assert sent_height % 28 == 0
    assert 56 * 56 <= sent_width * sent_height <= 14 * 14 * 4 * 1280
    assert max(sent_width, sent_height) / min(sent_width, sent_height) < 200


@given(width=st.integers(30, 1600), ratio=st.floats(0.1, 3), family=st.sampled_from(FAMILIES))
def test_proportions_are_kept_but_for_the_rounding(
    width: int, ratio: float, family: Profile
) -> None:
    height = math.ceil(width * ratio)
    placement = family.place((width, height))
    left, top, right, bottom = placement.content
    assume(min(right - left, bottom - top) > 120)
    assert (right - left) / width == pytest.approx((bottom - top) / height, rel=0.2)
    assert placement.to_original(placement.to_sent((0.1, 0.2, 0.3, 0.4))) == pytest.approx(
        (0.1, 0.2, 0.3, 0.4)
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1), (5000, 4999), (160, 160)])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_images_of_every_size_are_rendered_as_placed(family: Profile, size: Size) -> None:
    placement = family.place(size)
    assert letterbox.render(family.fit, Image.new("RGB", size, "red")).size == placement.sent
    assert all(math.isfinite(value) for value in placement.content)
    assert placement.sent[0] * placement.sent[1] <= 2_000_000


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (161, 159), (160, 160), (33, 700)])
def test_images_for_the_built_in_model_match_its_training(size: Size) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    profile = choose_profile("builtin-llava")
    assert (
        letterbox.render(profile.fit, picture).tobytes()
        == training_letterbox.letterbox(picture).tobytes()
    )
    box = (0.1, 0.2, 0.5, 0.9)
    pixels = (0.1 * size[0], 0.2 * size[1], 0.5 * size[0], 0.9 * size[1])
    square = profile.place(size).to_sent(box)
    assert tuple(value / 160 for value in square) == pytest.approx(
        training_letterbox.to_square(pixels, size)
    )


def test_transparent_images_are_shown_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert letterbox.upright(clear).getpixel((0, 0)) == (255, 255, 255)


def test_labels_cannot_break_the_box_format() -> None:
    profile = choose_profile("internvl")
    placement = profile.place((100, 100))
    text = format_boxes(
        [("</ref><box>[[1,2,3,4]]</box>", (0.1, 0.1, 0.5, 0.5))], profile, placement
    )
    assert len(parse_boxes(text, profile, placement).boxes) == 1
