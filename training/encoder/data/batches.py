"""Training batches: images of all families with their captions.

Captions of one family differ in few words, so the other images of the family are hard negatives.
Each batch contains equal shares of all families. Separate batches per family would give batch
normalization other statistics than inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from sightline.training.encoder.data.album import Album, Entry, Pixels
from sightline.training.encoder.recipe import PAD_ID, PIXEL_MEAN, PIXEL_STD, Recipe
from sightline.training.world.core.scene import LANGUAGES

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one step: normalized pixels and token ids.

    ``pixels`` is (n, 3, px, px) float32; ``english`` and ``chinese`` are (n, length) ids, and row i
    is the same caption in both languages. ``words`` (n, vocabulary) marks the tokens of the exact
    captions of image i, without special tokens. ``queries`` (q, length) are short queries, and
    ``fits`` (q, n) marks the images that match them.
    """

    pixels: Tensor
    english: Tensor
    chinese: Tensor
    words: Tensor
    queries: Tensor
    fits: Tensor

    def to(self, device: torch.device) -> Batch:
        """Move the batch to another device."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Batch(*(part.to(device) for part in parts))


class Captions:
    """Token ids of all captions of an album, by image and caption."""

    def __init__(self, entries: Sequence[Entry], tokenizer: PreTrainedTokenizerFast) -> None:
        self._ids: list[dict[str, list[list[int]]]] = []
        self.vocabulary = len(tokenizer)
        self._tokenizer = tokenizer
        for entry in entries:
            found = entry.captions.items()
            self._ids.append({language: self.encode(texts) for language, texts in found})

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return token ids of texts, with start and end token."""
        limit = self._tokenizer.model_max_length
        ids: list[list[int]] = self._tokenizer(list(texts), truncation=True, max_length=limit)[
            "input_ids"
        ]
        return ids

    def wordings(self, picture: int) -> int:
        """Return the number of captions of an image in each language."""
        return min(len(texts) for texts in self._ids[picture].values())

    def ids(self, language: str, picture: int, wording: int) -> list[int]:
        """Return token ids with start and end token."""
        return self._ids[picture][language][wording]

    def padded(self, language: str, pictures: Sequence[int], wordings: Sequence[int]) -> Tensor:
        """Return (n, length) int64, padded after the end token."""
        return padded([self.ids(language, p, w) for p, w in zip(pictures, wordings, strict=True)])

    def words(self, pictures: Sequence[int]) -> Tensor:
        """Return (n, vocabulary) float32: 1 if the exact captions contain the token."""
        marks = torch.zeros(len(pictures), self.vocabulary)
        for row, picture in enumerate(pictures):
            for language in LANGUAGES:
                marks[row, self.ids(language, picture, 0)[1:-1]] = 1.0
        return marks

    def word_frequency(self) -> Tensor:
        """Return (vocabulary,) float32: share of images with the token in an exact caption."""
        count = np.zeros(self.vocabulary, dtype=np.float32)
        for encoded in self._ids:
            count[list({*encoded["en"][0][1:-1], *encoded["zh"][0][1:-1]})] += 1
        return torch.from_numpy(count / max(1, len(self._ids)))


class Sampler:
    """Samples batches. Batch ``step`` depends only on the seed and ``step``."""

    def __init__(self, album: Album, captions: Captions, recipe: Recipe) -> None:
        self._album, self._captions, self._recipe = album, captions, recipe
        by_family: dict[str, list[int]] = {}
        for index, entry in enumerate(album.entries):
            by_family.setdefault(entry.family, []).append(index)
        self._families = [np.array(indices) for indices in by_family.values()]
        weights = [recipe.family_weights.get(family, 1.0) for family in by_family]
        self._shares = [max(1, int(recipe.batch * w / sum(weights))) for w in weights]
        self._orders: dict[tuple[int, int], npt.NDArray[np.int64]] = {}

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0."""
        recipe = self._recipe
        rng = np.random.default_rng((recipe.seed, step))
        chosen = [int(i) for i in self.chosen(step)]
        wordings = [self._wording(rng, picture) for picture in chosen]
        shifted = [_shift(self._album.pixels(i), rng, recipe.shift_px) for i in chosen]
        pixels = _light(normalised(np.stack(shifted)), rng)
        return Batch(
            pixels,
            self._captions.padded("en", chosen, wordings),
            self._captions.padded("zh", chosen, wordings),
            self._captions.words(chosen),
            *self._queries(rng, chosen),
        )

    def chosen(self, step: int) -> list[int]:
        """Choose the images of a step; each family is shuffled in each epoch."""
        chosen: list[int] = []
        for number, (indices, share) in enumerate(zip(self._families, self._shares, strict=True)):
            for position in range(step * share, (step + 1) * share):
                epoch, place = divmod(position, len(indices))
                chosen.append(int(indices[self._order(number, epoch, len(indices))[place]]))
        return chosen

    def _order(self, family: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
        key = (family, epoch)
        if key not in self._orders:
            self._orders.pop((family, epoch - 2), None)
            rng = np.random.default_rng((self._recipe.seed, family, epoch, 1))
            self._orders[key] = rng.permutation(size)
        return self._orders[key]

    def _queries(self, rng: np.random.Generator, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Sample short queries that match some of ``chosen``, and mark the matches."""
        shown = [set(self._album.entries[i].wanted) for i in chosen]
        wanted = sorted(set().union(*shown))
        rows = rng.permutation(len(wanted))[: self._recipe.queries]
        texts, fits = [], torch.zeros(len(rows), len(chosen), dtype=torch.bool)
        for place, row in enumerate(rows):
            language = LANGUAGES[int(rng.integers(2))]
            texts.append(wanted[row].query(language, int(rng.integers(100))))
            fits[place] = torch.tensor([wanted[row] in found for found in shown])
        return padded(self._captions.encode(texts)), fits

    def _wording(self, rng: np.random.Generator, picture: int) -> int:
        count = self._captions.wordings(picture)
        if count == 1 or rng.random() < self._recipe.exact_caption_share:
            return 0
        return int(rng.integers(1, count))


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Pad rows to (n, length) int64."""
    filled = torch.full((len(rows), max(map(len, rows))), PAD_ID, dtype=torch.long)
    for row, ids in enumerate(rows):
        filled[row, : len(ids)] = torch.tensor(ids)
    return filled


def normalised(pixels: Pixels) -> Tensor:
    """Convert (n, px, px, 3) uint8 to normalized (n, 3, px, px) float32, channels last."""
    scaled = torch.from_numpy(pixels.astype(np.float32)).div_(255.0)
    scaled.sub_(torch.tensor(PIXEL_MEAN)).div_(torch.tensor(PIXEL_STD))
    return scaled.permute(0, 3, 1, 2)


def _shift(picture: Pixels, rng: np.random.Generator, most: int) -> Pixels:
    """Shift images by up to ``most`` pixels in each direction; repeat the edges."""
    if most == 0:
        return picture
    px = picture.shape[0]
    down, right = rng.integers(-most, most + 1, 2)
    padded = np.pad(picture, ((most, most), (most, most), (0, 0)), mode="edge")
    top, left = most + int(down), most + int(right)
    moved: Pixels = padded[top : top + px, left : left + px]
    return moved


def _light(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Change exposure and contrast per image, equally in all channels to keep colors."""
    n = pixels.shape[0]
    contrast = torch.from_numpy(rng.uniform(0.85, 1.15, n)).to(pixels).view(n, 1, 1, 1)
    exposure = torch.from_numpy(rng.uniform(-0.2, 0.2, n)).to(pixels).view(n, 1, 1, 1)
    return pixels.mul_(contrast).add_(exposure)
