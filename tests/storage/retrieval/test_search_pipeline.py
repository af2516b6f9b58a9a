"""The retrieve and fuse stages, and the imports of the searches."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from sightline.storage.errors import StorageError
from sightline.storage.retrieval.search_pipeline import retrieve_and_fuse
from sightline.storage.retrieval.search_types import Hit, Modality, RetrieverResult
from sightline.storage.retrieval.stage_runner import StageTimer


@dataclass(frozen=True)
class FixedRetriever:
    name: str
    modality: Modality
    keys: tuple[str, ...]

    async def retrieve(self) -> RetrieverResult:
        hits = [Hit(key, 1 / rank) for rank, key in enumerate(self.keys, 1)]
        return RetrieverResult(tuple(hits), notes=("a note",))


class BrokenRetriever(FixedRetriever):
    async def retrieve(self) -> RetrieverResult:
        raise StorageError("the database went away")


async def test_retrievers_run_once_each_and_their_results_are_fused() -> None:
    timer = StageTimer()
    retrievers = [
        FixedRetriever("a", "visual", ("x", "y")),
        FixedRetriever("b", "text", ("y",)),
    ]
    fused = await retrieve_and_fuse(retrievers, None, timer)
    assert [hit.key for hit in fused.hits] == ["y", "x"]
    assert fused.hits[0].retrievers["b"].rank == 1
    assert fused.reports["a"].hits == 2
    assert fused.reports["a"].keys == ("x", "y")
    assert fused.notes == ("a note",)
    assert timer.stages.keys() == {"a", "b"}


async def test_a_failing_retriever_fails_the_search_with_its_own_error() -> None:
    retrievers = [BrokenRetriever("a", "visual", ()), FixedRetriever("b", "text", ("y",))]
    with pytest.raises(StorageError, match="went away"):
        await retrieve_and_fuse(retrievers, None, StageTimer())


def test_the_searches_do_not_import_llama_index() -> None:
    program = (
        "import sys, sightline.storage.retrieval;"
        "assert 'llama_index' not in sys.modules, 'llama_index was imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
