"""Measures how well an exported model agrees with the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from sightline.storage.interfaces import Vectors

_RANKS: Final = 10
#: Queries that a reranker is compared with; each is paired with every text.
_MAX_QUERIES: Final = 8


@dataclass(frozen=True, slots=True)
class Agreement:
    """Differences of vectors or scores, and equal results among the first ten.

    The cosines are None for a reranker, which has no vectors. ``recall_at_10`` is None if there are
    not more than ten candidates.
    """

    items: int
    max_difference: float
    min_cosine: float | None
    mean_cosine: float | None
    recall_at_10: float | None


@dataclass(frozen=True, slots=True)
class Samples:
    """Texts and pictures to compare with."""

    texts: Sequence[str]
    images: Sequence[Image.Image]


class PairScorer(Protocol):
    """A cross-encoder."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the relevance of each pair, float32 of shape (n,)."""
        ...


def compare_image_text(original: Any, exported: Any, samples: Samples) -> Agreement:
    """Compare the vectors of texts and pictures, and the search for pictures by text."""
    pixels = [original.preprocess(image) for image in samples.images]
    texts = [model.encode_texts(samples.texts) for model in (original, exported)]
    images = [model.encode_images(pixels) for model in (original, exported)]
    scores = [text @ image.T for text, image in zip(texts, images, strict=True)]
    first, second = (np.concatenate(each) for each in zip(texts, images, strict=True))
    return _vectors_agree(first, second, scores)


def compare_sentences(original: Any, exported: Any, samples: Samples) -> Agreement:
    """Compare the vectors of passages, and the search for passages by text."""
    passages = [model.encode_passages(samples.texts) for model in (original, exported)]
    queries = [model.encode_queries(samples.texts) for model in (original, exported)]
    scores = [query @ passage.T for query, passage in zip(queries, passages, strict=True)]
    first, second = (np.concatenate(each) for each in zip(passages, queries, strict=True))
    return _vectors_agree(first, second, scores)


def compare_rerankers(original: PairScorer, exported: PairScorer, samples: Samples) -> Agreement:
    """Compare the scores of pairs of texts, and the order that they give."""
    queries = samples.texts[:_MAX_QUERIES]
    pairs = [(query, text) for query in queries for text in samples.texts]
    shape = len(queries), len(samples.texts)
    first, second = (np.reshape(model.score(pairs), shape) for model in (original, exported))
    difference = float(np.abs(first - second).max())
    return Agreement(len(pairs), difference, None, None, _recall(first, second))


def _vectors_agree(
    first: Vectors, second: Vectors, scores: Sequence[npt.NDArray[Any]]
) -> Agreement:
    # Texts outside of the vocabulary have the zero vector.
    known = first.any(axis=1) & second.any(axis=1)
    cosines = (first[known] * second[known]).sum(axis=1)
    return Agreement(
        items=len(first),
        max_difference=float(np.abs(first - second).max()),
        min_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
        recall_at_10=_recall(*scores),
    )


def _recall(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float | None:
    """Return the mean share of the ten best columns of each row that are the same."""
    if first.shape[1] <= _RANKS:
        return None
    best = [np.argsort(-each, axis=1, kind="stable")[:, :_RANKS] for each in (first, second)]
    shares = [len(np.intersect1d(one, other)) / _RANKS for one, other in zip(*best, strict=True)]
    return float(np.mean(shares))
