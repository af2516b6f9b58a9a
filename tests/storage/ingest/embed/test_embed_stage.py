from collections.abc import Sequence

import numpy as np
import pytest

from sightline.storage.errors import (
    MediaError,
    ModelError,
    ModelOverloadedError,
    ModelUnavailableError,
)
from sightline.storage.ingest.embed.embed_stage import BatchEncoder
from sightline.storage.interfaces import Vectors


class Model:
    """Encodes numbers: refuses the first ``busy`` calls, fails on negative numbers."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.batches: list[int] = []

    async def encode(self, numbers: Sequence[float]) -> Vectors:
        self.batches.append(len(numbers))
        if self.busy:
            self.busy -= 1
            raise ModelOverloadedError("busy")
        if min(numbers) < 0:
            raise ValueError("negative")
        return np.array([[n, 1.0] for n in numbers], dtype=np.float32)


async def encode_all(model: Model, numbers: list[float], size: int = 64) -> list[float | str]:
    results = await BatchEncoder(model.encode, 2, size)(numbers)
    return [r.code if isinstance(r, MediaError) else float(r[0]) for r in results]


async def test_results_keep_the_order_over_several_batches() -> None:
    model = Model()
    assert await encode_all(model, list(range(10)), size=4) == list(range(10))
    assert model.batches == [4, 4, 2]


async def test_an_item_that_makes_the_model_fail_fails_alone() -> None:
    model = Model()
    assert await encode_all(model, [1, 2, -1, 4, 5], size=4) == [1, 2, "encoder", 4, 5]
    assert model.batches == [4, 1, 1, 1, 1, 1]


async def test_a_model_that_fails_on_everything_stops_the_run() -> None:
    with pytest.raises(ModelError, match="failed on 8 of 8"):
        await encode_all(Model(), [-1] * 8)
    assert await encode_all(Model(), [-1] * 3) == ["encoder"] * 3


async def test_a_busy_model_is_retried() -> None:
    assert await encode_all(Model(busy=2), [1, 2]) == [1, 2]


async def test_an_unavailable_model_fails_the_call_and_not_the_items() -> None:
    async def encode(_: Sequence[float]) -> Vectors:
        raise ModelUnavailableError("loading")

    with pytest.raises(ModelUnavailableError):
        await BatchEncoder(encode, 2, 4)([1, 2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
async def test_vectors_without_a_direction_are_rejected(bad: float) -> None:
    async def encode(items: Sequence[float]) -> Vectors:
        return np.array([[1, 0], [bad, 0]], dtype=np.float32)[: len(items)]

    good, refused = await BatchEncoder(encode, 2, 4)([1, 2])
    assert not isinstance(good, MediaError)
    assert isinstance(refused, MediaError)


async def test_texts_outside_the_vocabulary_are_no_failure() -> None:
    async def encode(items: Sequence[float]) -> Vectors:
        return np.zeros((len(items), 2), np.float32)

    results = await BatchEncoder(encode, 2, 4, has_vocabulary=True)([1] * 8)
    assert [isinstance(each, MediaError) for each in results] == [False] * 8
