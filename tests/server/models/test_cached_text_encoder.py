from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from sightline.server.models.batcher import Batcher, CachedTextEncoder
from sightline.storage.interfaces import EncoderIdentity, Vectors

IDENTITY = EncoderIdentity("test", weights="", preprocessing="", dimension=2)


class Model:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return np.array([[len(text), 1] for text in texts], np.float32)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def batcher(model: Model) -> Iterator[Batcher]:
    batcher = Batcher({"text": model}, max_batch_items=8, name="the test's model")
    yield batcher
    batcher.close()


async def test_only_the_most_recently_used_texts_are_cached(model: Model, batcher: Batcher) -> None:
    cache = CachedTextEncoder(batcher, "text", IDENTITY, max_entries=2)
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        assert (await cache.encode_texts([text])).tolist() == [[len(text), 1]]
    assert model.texts == ["a", "bb", "ccc", "bb"]


async def test_a_cache_of_zero_entries_caches_nothing(model: Model, batcher: Batcher) -> None:
    cache = CachedTextEncoder(batcher, "text", IDENTITY, max_entries=0)
    for _ in range(2):
        assert (await cache.encode_texts(["a", "a"])).tolist() == [[1, 1], [1, 1]]
    assert model.texts == ["a", "a"]
