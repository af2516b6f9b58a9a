"""Tests of views: the right part at the right size, decoded no larger than needed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.render.jpeg_encoding import encode_jpeg
from sightline.storage.ingest.decode.render.overlays import BoxOverlay
from sightline.storage.ingest.decode.render.view import draw_in_crop, load_view
from sightline.storage.ingest.decode.render.view_geometry import crop_pixels, view_edge, widen_crop
from tests.support.sample_images import encoded, exif

MAX_PIXELS = 10**8


def gradient(size: tuple[int, int]) -> Image.Image:
    """Return an image whose red and green are the place, so that a crop can be located."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("max_edge", [40, 300, 5000])
@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 1.0, 1.0), (0.5, 0.25, 0.75, 0.5), (0.9, 0.0, 1.0, 1.0)]
)
def test_a_part_is_what_a_crop_of_the_whole_image_is(
    kind: str, max_edge: int, box: tuple[float, float, float, float]
) -> None:
    data = encoded(gradient((1600, 1200)), kind)
    view, size = load_view(data, MAX_PIXELS, crop=box, max_edge=max_edge)
    part = Image.open(io.BytesIO(data)).convert("RGB").crop(crop_pixels((1600, 1200), box))
    assert size == (1600, 1200)
    assert max(view.size) == min(max_edge, max(part.size))
    expected = part.resize(view.size, Image.Resampling.LANCZOS)
    difference = np.abs(np.asarray(view, dtype=int) - np.asarray(expected, dtype=int))
    assert difference.mean() < 2
    assert difference.max() < 16


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_box_is_of_the_upright_image(orientation: int) -> None:
    upright = gradient((400, 200))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # transpositions that undo it
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    data = encoded(stored, "PNG", exif=exif(orientation=orientation))
    view, size = load_view(data, MAX_PIXELS, crop=(0.75, 0.0, 1.0, 0.5))
    assert (size, view.size) == ((400, 200), (100, 100))
    assert view.tobytes() == upright.crop((300, 0, 400, 100)).tobytes()


def test_a_large_jpeg_is_decoded_at_a_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, int]] = []
    load = Image.Image.load
    data = encoded(gradient((4000, 3000)), "JPEG")

    def counted(image: Image.Image) -> object:
        decoded.append(image.size)
        return load(image)

    monkeypatch.setattr(Image.Image, "load", counted)
    load_view(data, MAX_PIXELS, max_edge=200)
    load_view(data, MAX_PIXELS, crop=(0.0, 0.0, 0.5, 0.5), max_edge=200)
    assert max(max(size) for size in decoded) <= 1000


def test_boxes_are_drawn_where_they_are_in_a_crop() -> None:
    crop = (0.5, 0.5, 1.0, 1.0)
    part = Image.new("RGB", (200, 200))
    inside = draw_in_crop(part, crop, [BoxOverlay((0.6, 0.6, 0.9, 0.9), "")], "box")
    around = draw_in_crop(part, crop, [BoxOverlay((0.0, 0.0, 1.0, 0.75), "")], "box")
    outside = draw_in_crop(part, crop, [BoxOverlay((0.0, 0.0, 0.4, 0.4), "van")], "box")
    assert inside.getpixel((38, 100)) != (0, 0, 0)
    assert inside.getpixel((100, 100)) == (0, 0, 0)
    assert around.getpixel((150, 101)) != (0, 0, 0)
    assert [around.getpixel(point) for point in ((150, 1), (0, 50), (199, 50))] == [(0, 0, 0)] * 3
    assert outside.tobytes() == part.tobytes()


def test_a_tiny_crop_does_not_draw_millions_of_pixels() -> None:
    crop = (0.5, 0.5, 0.500001, 0.500001)
    drawn = draw_in_crop(
        Image.new("RGB", (64, 64)), crop, [BoxOverlay((0.0, 0.0, 1.0, 1.0), "van")], "shade"
    )
    assert drawn.size == (64, 64)


def test_a_jpeg_is_reduced_until_it_fits() -> None:
    noise = Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8)
    )
    data, size = encode_jpeg(noise, max_edge=500, max_bytes=20_000)
    assert len(data) <= 20_000
    assert Image.open(io.BytesIO(data)).size == size
    assert max(size) < 500
    with pytest.raises(MediaError, match="does not fit in 10 bytes"):
        encode_jpeg(noise, max_edge=500, max_bytes=10)


@pytest.mark.parametrize(
    ("crop", "size"),
    [
        ((0.0, 0.0, 0.25, 0.25), (768, 576)),  # of 400 x 300
        ((0.5, 0.5, 0.53, 0.52), (384, 192)),  # of 48 x 24: eight times
        ((0.0, 0.0, 0.75, 0.75), (1000, 750)),  # of 1200 x 900
    ],
)
def test_a_small_part_is_enlarged_smoothly(
    crop: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    whole = gradient((1600, 1200))
    data = encoded(whole, "PNG")
    view, _ = load_view(data, MAX_PIXELS, crop=crop, max_edge=1000, min_edge=768)
    expected = whole.crop(crop_pixels(whole.size, crop)).resize(size, Image.Resampling.LANCZOS)
    assert view.size == size
    assert np.abs(np.asarray(view, dtype=int) - np.asarray(expected, dtype=int)).max() <= 2
    unchanged, _ = load_view(data, MAX_PIXELS, crop=crop, max_edge=5000)
    assert unchanged.size == whole.crop(crop_pixels(whole.size, crop)).size


def test_the_shown_edge_is_within_its_limits() -> None:
    assert view_edge(40, 1024, 768) == 320
    assert view_edge(400, 1024, 768) == 768
    assert view_edge(400, 100, 768) == 100
    assert view_edge(2000, 1024, 768) == 1024
    assert view_edge(2000, None, 768) == 2000
    assert view_edge(1, 64, 768) == 8


def test_a_crop_gets_a_margin_inside_the_image() -> None:
    assert widen_crop((0.2, 0.4, 0.6, 0.6), (1000, 1000)) == (0.16, 0.38, 0.64, 0.62)
    assert widen_crop((0.5, 0.5, 0.51, 0.51), (1000, 100)) == (0.496, 0.46, 0.514, 0.55)
    assert widen_crop((0.0, 0.0, 1.0, 1.0), (10, 10)) == (0.0, 0.0, 1.0, 1.0)
    assert widen_crop((0.0, 0.95, 0.5, 1.0), (1000, 1000)) == (0.0, 0.945, 0.55, 1.0)
