"""A stub of an encoder that knows the labels of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.search_quality.labeled_encoder import LabeledEncoder, color_grid

LABELS = {f"{number}.png": f"thing{number:02}" for number in range(10)}


def write_pictures(folder: Path) -> None:
    for number, name in enumerate(LABELS):
        Image.new("RGB", (40, 30), (number * 25, 255 - number * 25, 90)).save(folder / name)


async def test_a_text_finds_the_pictures_of_its_label(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    encoder = LabeledEncoder.open(tmp_path, LABELS, accuracy=1.0)
    pixels = [color_grid(Image.open(tmp_path / name)) for name in LABELS]
    images = await encoder.encode_images(pixels)
    texts = await encoder.encode_texts([f"a photo of a {label}" for label in LABELS.values()])
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-5)
    assert (texts @ images.T).argmax(axis=1).tolist() == list(range(10))


def test_a_share_of_the_labels_is_confused(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    encoder = LabeledEncoder.open(tmp_path, LABELS, accuracy=0.8)
    assert len(encoder.confused) == 2
    assert all(label != other for label, other in encoder.confused.items())
