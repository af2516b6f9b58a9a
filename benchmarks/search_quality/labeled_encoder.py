"""An encoder that knows the labels of given pictures, right for a set share of them.

It stands for an encoder that knows photographs, without its weights: a picture is recognized by its
colors on a grid, and its vector is near that of its label. A text is near the labels that it names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors

_EDGE = 16
_DIMENSION = 128
#: Cosine of a picture and its label. With CLIP, that of a photograph and a fitting text is 0.2 to
#: 0.35, and three to six deviations above that of other texts. Here, it is four.
_LABEL_COSINE = 0.4


def color_grid(image: Image.Image) -> Pixels:
    """Return the upright RGB picture as uint8 of shape (16, 16, 3)."""
    small = image.convert("RGB").resize((_EDGE, _EDGE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.uint8)


def main_labels(folder: Path) -> dict[str, str]:
    """Return the label of the largest object by file name, from ``instances.json`` (COCO)."""
    coco = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
    names = {each["id"]: each["file_name"] for each in coco["images"]}
    labels = {each["id"]: each["name"] for each in coco["categories"]}
    largest: dict[str, dict[str, Any]] = {}
    for each in coco["annotations"]:
        name = names[each["image_id"]]
        if name not in largest or each["area"] > largest[name]["area"]:
            largest[name] = each
    return {name: labels[each["category_id"]] for name, each in largest.items()}


@dataclass(frozen=True, slots=True)
class LabeledEncoder:
    """An `ImageEncoder` for known pictures: their grids, and the label of each.

    A text that names a label of ``confused`` has the vector of another label.
    """

    grids: Pixels
    labels: tuple[str, ...]
    confused: Mapping[str, str]

    @classmethod
    def open(cls, folder: Path, labels: Mapping[str, str], *, accuracy: float) -> LabeledEncoder:
        """Read the pictures, and confuse some labels, always the same ones."""
        rng = Random(0)
        known = sorted(set(labels.values()))
        wrong = rng.sample(known, round((1 - accuracy) * len(known)))
        confused = {label: rng.choice([each for each in known if each != label]) for label in wrong}
        grids = []
        for name in sorted(labels):
            with Image.open(folder / name) as image:
                grids.append(color_grid(image))
        return cls(np.stack(grids), tuple(labels[name] for name in sorted(labels)), confused)

    @property
    def identity(self) -> EncoderIdentity:
        weights = _digest(f"{self.labels}{self.confused}")
        return EncoderIdentity("labeled", weights, _digest("grid"), _DIMENSION)

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        return color_grid

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return the vector of the most similar known picture for each."""
        return _stack([self._image_vector(each) for each in pixels])

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return the mean direction of the labels in each text."""
        return _stack([self._text_vector(each) for each in texts])

    def _image_vector(self, pixels: Pixels) -> Vectors:
        distances = np.abs(self.grids.astype(np.int32) - pixels).sum(axis=(1, 2, 3))
        number = int(distances.argmin())
        rest = np.sqrt(1 - _LABEL_COSINE**2)
        label, other = _direction(self.labels[number]), _direction(f"#{number}")
        return _unit(_LABEL_COSINE * label + rest * other)

    def _text_vector(self, text: str) -> Vectors:
        named = [each for each in set(self.labels) if re.search(rf"\b{re.escape(each)}\b", text)]
        meant = sorted(self.confused.get(each, each) for each in named)
        return _unit(np.sum([_direction(each) for each in meant or [text]], axis=0))


def _direction(name: str) -> Vectors:
    """Return a unit vector that depends only on the name."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    return _unit(rng.normal(size=_DIMENSION))


def _unit(vector: Any) -> Vectors:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def _stack(vectors: Sequence[Vectors]) -> Vectors:
    if not vectors:
        return np.zeros((0, _DIMENSION), dtype=np.float32)
    return np.stack(vectors)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
