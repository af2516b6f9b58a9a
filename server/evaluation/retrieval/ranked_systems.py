"""Run a query with the tools' search and collect the ranking of each system.

One search gives all rankings: of each retriever, fused, and reranked if a reranker is configured.
If the reranker fails or times out, its ranking is the fused one, as in a tool call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from sightline.server.evaluation.retrieval.qrels import RunQuery
from sightline.storage.errors import InvalidArgumentError, MediaError
from sightline.storage.retrieval.request_validation import MAX_RESULTS
from sightline.storage.retrieval.search_types import (
    Example,
    ImageRequest,
    PassageRequest,
    SearchReport,
    Selection,
)
from sightline.tools.shared import images
from sightline.tools.shared.dependencies import Dependencies

FUSED = "fused"
RERANKED = "reranked"
_TOOL = "sightline eval"
_ASSET_ID_CHARS = 12
_IMAGE_EDGE_PIXELS = 1024


@dataclass(frozen=True, slots=True)
class SystemRankings:
    """The keys that each system returned, best first, and the duration of the search."""

    systems: Mapping[str, tuple[str, ...]]
    milliseconds: float
    notes: tuple[str, ...]

    def keys(self, system: str) -> tuple[str, ...]:
        """Return the ranking of a system; empty if the system did not run."""
        if system == RERANKED and system not in self.systems:
            return self.systems[FUSED]
        return self.systems.get(system, ())


async def run_query(
    deps: Dependencies, run_query: RunQuery, collection: str | None
) -> SystemRankings:
    """Run one query.

    Raises InvalidArgumentError, naming the line, if the search rejects it.
    """
    query = run_query.query
    name = query.collection or collection
    selection = Selection(
        collections=None if name is None else (name,),
        filters=query.filters,
        captured_after=query.captured_after,
        captured_before=query.captured_before,
    )
    try:
        image = await load_query_image(deps, run_query)
        started = time.perf_counter()
        if query.search == "images":
            found = await deps.image_search(
                ImageRequest(
                    query=query.query,
                    image=image,
                    selection=selection,
                    limit=MAX_RESULTS,
                    tool=_TOOL,
                )
            )
            report, final = found.report, tuple(hit.asset.id for hit in found.hits)
        else:
            passages = await deps.passage_search(
                PassageRequest(
                    query=query.query, selection=selection, limit=MAX_RESULTS, tool=_TOOL
                )
            )
            report, final = passages.report, tuple(str(hit.passage.id) for hit in passages.hits)
    except (InvalidArgumentError, MediaError) as error:
        raise run_query.line.error(error) from error
    milliseconds = (time.perf_counter() - started) * 1000
    return SystemRankings(_systems(report, final), milliseconds, report.notes)


def _systems(report: SearchReport, final: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    systems = {name: tuple(map(str, each.keys)) for name, each in report.retrievers.items()}
    systems[FUSED] = tuple(map(str, report.fused_keys))
    if report.reranked:
        systems[RERANKED] = final
    return systems


async def load_query_image(deps: Dependencies, run_query: RunQuery) -> Example | None:
    """Return the query image: a decoded file beside the run file, or an asset id.

    Raises InvalidArgumentError and MediaError.
    """
    name = run_query.query.image
    if name is None:
        return None
    path = run_query.line.path.parent / name
    if not path.is_file():
        if len(name) == _ASSET_ID_CHARS and name.isalnum():
            return name
        raise InvalidArgumentError(f"image {name!r} is neither a file nor an asset id")

    def decode() -> Example:
        data = _read(path, deps.limits.max_image_bytes)
        return images.decode_upright(
            data, max_pixels=deps.limits.max_image_pixels, edge=_IMAGE_EDGE_PIXELS
        )

    return await anyio.to_thread.run_sync(decode)


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidArgumentError(f"cannot read image {path}: {error.strerror}") from error
    if len(data) > max_bytes:
        raise InvalidArgumentError(f"image {path} is larger than {max_bytes:,} bytes")
    return data
