"""Known and unknown pictures by their vectors."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.storage.picture_reference import KNOWN_SHARE, PictureReference, Vectors


def drawn(seed: int, rows: int, center: int) -> Vectors:
    """Return unit vectors around an axis, which spread in eight directions only."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((rows, 64), np.float32)
    vectors[:, center] = 3
    vectors[:, 32:40] += rng.normal(size=(rows, 8)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def reference() -> PictureReference:
    known = np.concatenate([drawn(0, 100, 0), drawn(1, 100, 1)])
    held_out = np.concatenate([drawn(2, 100, 0), drawn(3, 100, 1)])
    return PictureReference.of(known, ["street"] * 100 + ["room"] * 100, held_out)


def test_other_pictures_of_the_known_classes_are_familiar(reference: PictureReference) -> None:
    assert reference.familiarity(drawn(4, 200, 1)) > 0.85
    within = reference.distances(drawn(5, 1_000, 0)) <= reference.radius
    assert within.mean() == pytest.approx(KNOWN_SHARE, abs=0.1)


def test_pictures_of_another_class_are_not_familiar(reference: PictureReference) -> None:
    assert reference.familiarity(drawn(6, 200, 2)) == 0
    mixed = np.concatenate([drawn(7, 100, 0), drawn(8, 100, 2)])
    assert reference.familiarity(mixed) == pytest.approx(0.5, abs=0.1)


def test_no_picture_is_unfamiliar_without_pictures(reference: PictureReference) -> None:
    assert reference.familiarity(np.empty((0, 64), np.float32)) == 1


def test_a_reference_is_equal_after_it_was_written_and_read(reference: PictureReference) -> None:
    read = PictureReference.from_bytes(reference.to_bytes())
    vectors = drawn(9, 50, 0)
    np.testing.assert_allclose(read.distances(vectors), reference.distances(vectors), rtol=0.01)
    assert read.radius == pytest.approx(reference.radius)
    with pytest.raises(ValueError, match="pickle"):
        PictureReference.from_bytes(b"no reference")
