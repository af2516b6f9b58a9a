"""Hashes of pictures: the same for copies, turned or edited, and different for others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from sightline.storage.picture_hashes import (
    PictureHashes,
    count_matches,
    hash_picture,
    nearby,
    orientations,
    turn_spots,
    unpack_spots,
)

TURNS = [None, *Image.Transpose]


def scene(seed: int, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """Return blots of many sizes."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for cells in (3, 6, 12, 24):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=float) / 4
    return Image.fromarray(total.astype(np.uint8))


def hashed(image: Image.Image) -> PictureHashes:
    found = hash_picture(image)
    assert found is not None
    return found


def distance(one: int, other: int) -> int:
    return ((one ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()


def matches(one: PictureHashes, other: PictureHashes, orientation: int = 0) -> int:
    turned = turn_spots(unpack_spots(one.local), orientation)
    return int(count_matches(turned, [unpack_spots(other.local)])[0])


@pytest.mark.parametrize("turn", TURNS)
def test_the_hashes_of_one_orientation_give_those_of_all(turn: Image.Transpose | None) -> None:
    own = hashed(scene(1))
    turned = hashed(scene(1) if turn is None else scene(1).transpose(turn))
    distances = [distance(each, turned.perceptual) for each in orientations(own.perceptual)]
    assert min(distances) <= 1
    assert ((own.symmetric ^ turned.symmetric) & 0xFFFF).bit_count() <= 1  # by rounding
    assert len({*orientations(own.perceptual)}) == 8
    spots = len(unpack_spots(own.local))
    assert spots > 20
    assert matches(own, turned, distances.index(min(distances))) >= 0.8 * spots


@pytest.mark.parametrize("factor", [0.3, 1.4])
def test_brightness_and_color_change_few_bits(factor: float) -> None:
    own = hashed(scene(2))
    edited = hashed(ImageEnhance.Brightness(scene(2).convert("L").convert("RGB")).enhance(factor))
    assert distance(own.perceptual, edited.perceptual) <= 6
    assert matches(own, edited) >= 0.5 * len(unpack_spots(own.local))


def test_a_part_shares_local_hashes_and_another_picture_none() -> None:
    whole = hashed(scene(3))
    part = scene(3, (1024, 768)).crop((150, 120, 850, 650))
    part.thumbnail((256, 256))
    assert matches(hashed(part), whole) >= 8
    assert matches(hashed(scene(4)), whole) < 4
    assert distance(hashed(scene(4)).perceptual, whole.perceptual) > 12


def test_straight_edges_are_no_spots() -> None:
    """Along an edge spots are alike, so drawings with edges would share them by chance."""
    colors = np.array([[[220, 20, 20]] * 2, [[20, 180, 40], [220, 20, 20]]], dtype=np.uint8)
    drawn = Image.fromarray(colors).resize((96, 64), Image.Resampling.NEAREST)
    assert len(unpack_spots(hashed(drawn).local)) < 8


def test_strips_and_broken_local_hashes_have_no_spots() -> None:
    assert hashed(scene(5, (256, 3))).local == b""
    assert len(unpack_spots(b"123")) == len(unpack_spots(None)) == 0
    assert count_matches(unpack_spots(None), [unpack_spots(None)]).tolist() == [0]
    assert count_matches(unpack_spots(hashed(scene(5)).local), []).tolist() == []


def test_nearby_hashes_differ_in_few_bits() -> None:
    near = nearby(-5, 2)
    assert near[0] == -5
    assert len({*near}) == 1 + 16 + 120
    assert all(-(2**15) <= each < 2**15 for each in near)
    assert max(((each ^ -5) & 0xFFFF).bit_count() for each in near) == 2
