"""Tests of the world core: splits, camera, canvas, fonts and language."""

from __future__ import annotations

import hashlib
import random
from itertools import pairwise

import pytest
from PIL import Image, ImageChops

from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.training.world.core.builder import ellipse_outline
from sightline.training.world.core.camera import Camera
from sightline.training.world.core.canvas import Canvas
from sightline.training.world.core.language import article, count_phrase, join_list, number_word_zh
from sightline.training.world.core.scene import Split
from sightline.training.world.core.splits import (
    SEEDS,
    is_allowed,
    is_unseen,
    sample_attributes,
    seed_of,
)
from sightline.training.world.families import FAMILIES, draw
from sightline.training.world.fonts import FILES, LATIN, font_for
from sightline.training.world.fonts.subset import used_characters


def test_splits_have_disjoint_seeds() -> None:
    ranges = sorted(SEEDS.values(), key=lambda seeds: seeds.start)
    for before, after in pairwise(ranges):
        assert before.stop <= after.start
    assert seed_of("validation", 5) in SEEDS["validation"]


def test_seed_of_another_split_is_rejected() -> None:
    with pytest.raises(InvalidArgumentError, match="not in split 'test'"):
        draw("shapes", seed_of("train", 0), "test")
    with pytest.raises(InvalidArgumentError, match="outside 0 to"):
        seed_of("train", -1)


def test_unknown_family_error_lists_available_families() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown family 'zoo'. Available: .*'street'"):
        draw("zoo", 0, "train")


def test_15_percent_of_combinations_are_reserved_for_the_test_split() -> None:
    names = [f"shapes/{i}/red" for i in range(4000)]
    assert sum(map(is_unseen, names)) / len(names) == pytest.approx(0.15, abs=0.02)
    kept = next(filter(is_unseen, names))
    assert is_allowed(kept, "test")
    assert not is_allowed(kept, "train")
    assert not is_allowed(kept, "validation")


@pytest.mark.parametrize(("split", "share"), [("train", 0), ("validation", 0), ("test", 0.3)])
def test_only_the_test_split_samples_unseen_combinations(split: Split, share: float) -> None:
    rng = random.Random(1)
    drawn = [
        sample_attributes(rng, split, lambda: rng.randrange(200), lambda v: [f"a/{v}", "b"])
        for _ in range(1000)
    ]
    assert all(is_unseen(f"a/{v}") == unseen for v, unseen in drawn)
    assert sum(unseen for _, unseen in drawn) / 1000 == pytest.approx(share, abs=0.05)


def test_sampling_without_allowed_combination_raises() -> None:
    kept = next(name for name in map(str, range(1000)) if is_unseen(name))
    with pytest.raises(InvalidArgumentError, match="only seen combinations"):
        sample_attributes(random.Random(0), "train", lambda: kept, lambda name: [name])


@pytest.mark.parametrize("seed", range(6))
def test_camera_projects_box_like_its_ink(seed: int) -> None:
    rng = random.Random(seed)
    size = (320, 240)
    canvas = Canvas(size)
    drawn = canvas.ellipse((100, 60, 180, 150), (0, 0, 0))
    camera = Camera.handheld(rng, size, 1.5)
    ink = ImageChops.invert(camera.warp(canvas.image, 2)).convert("L").getbbox()
    assert camera.project_box(ellipse_outline(drawn)) == pytest.approx(ink, abs=3)


def test_handheld_camera_stays_inside_the_canvas_and_keeps_the_safe_area() -> None:
    for seed in range(50):
        size = (400, 300)
        camera = Camera.handheld(random.Random(seed), size)
        assert all(0 <= x <= 400 and 0 <= y <= 300 for x, y in camera.corners)
        x0, y0, x1, y1 = Canvas(size).safe
        for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)):
            x, y = camera.project_point(*corner)
            assert 0 <= x <= 400
            assert 0 <= y <= 300


def test_straight_camera_does_not_move_boxes() -> None:
    camera = Camera.straight((200, 100))
    assert camera.project_box([(10, 20), (50, 60)]) == (10, 20, 50, 60)
    assert camera.project_box([(-10, 20), (250, 60)]) == (0, 20, 200, 60)


@pytest.mark.parametrize("text", ["$24.90", "Width: 12 cm", "编号：AX-4471"])
@pytest.mark.parametrize("font", ["sans", "bold", "serif", "slab", "condensed"])
def test_text_returns_the_box_of_its_ink(text: str, font: str) -> None:
    canvas = Canvas((320, 100))
    box = canvas.text((20, 50), text, 24, (0, 0, 0), font, "lm")
    ink = ImageChops.invert(canvas.image).getbbox()
    assert ink is not None
    assert [2 * v for v in box] == pytest.approx(ink, abs=4)


@pytest.mark.parametrize("name", FILES)
def test_included_fonts_have_all_used_characters(name: str) -> None:
    characters = LATIN.replace(" ", "")
    if name == "cjk":
        characters += used_characters()
    face = font_for("中" if name == "cjk" else "a", name, 24)
    missing = bytes(face.getmask("\U0010ffff"))
    lacking = [c for c in characters if bytes(face.getmask(c)) == missing]
    assert lacking == []


def test_unknown_font_error_lists_available_fonts() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown font 'gothic'. Available: .*'serif'"):
        font_for("a", "gothic", 12)


def test_translucent_colors_blend_and_opaque_colors_cover() -> None:
    canvas = Canvas((10, 10), (0, 0, 0))
    canvas.rectangle(canvas.full, (200, 100, 0))
    assert canvas.image.getpixel((5, 5)) == (200, 100, 0)
    canvas.rectangle(canvas.full, (0, 0, 0, 128))
    assert canvas.image.getpixel((5, 5)) == pytest.approx((100, 50, 0), abs=1)


def test_pasted_image_fills_its_box() -> None:
    canvas = Canvas((20, 20))
    canvas.paste(Image.new("RGB", (3, 3), (255, 0, 0)), (5, 5, 15, 15))
    assert ImageChops.invert(canvas.image).getbbox() == (10, 10, 30, 30)


def test_phrases_agree_with_their_counts() -> None:
    assert count_phrase(1, "orange bus") == "an orange bus"
    assert count_phrase(3, "white bus") == "three white buses"
    assert article("red car") == "a red car"
    assert join_list(["a", "b", "c"]) == "a, b and c"
    assert [number_word_zh(n) for n in (1, 2, 3)] == ["一", "两", "三"]


def test_world_is_unchanged_since_the_built_in_models_were_trained() -> None:
    # A changed random order mixes training and held-out images; the models must then be retrained.
    names = [(family, seed_of("test", i)) for family in sorted(FAMILIES) for i in range(3)]
    captions = "\n".join(draw(family, seed, "test").captions["en"][0] for family, seed in names)
    assert hashlib.sha256(captions.encode()).hexdigest()[:16] == "2ebf5f0156c398f8"
