"""What each system ranks first, by the searches that the tools make.

One search answers for all systems: each branch's own order, the fused order, and the order after
reranking where a reranker is set. Where that is late or fails, its order is the fused one, as it
is for whoever asks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from sightline.server.evaluation.retrieval.qrels import Asked
from sightline.storage.errors import InvalidArgumentError, MediaError
from sightline.storage.retrieval.request_validation import DEPTH
from sightline.storage.retrieval.search_types import (
    Example,
    ImageRequest,
    PassageRequest,
    SearchReport,
    Selection,
)
from sightline.tools.shared import images as pictures
from sightline.tools.shared.dependencies import Dependencies

FUSED = "fused"
RERANKED = "reranked"
_TOOL = "sightline eval"
_ASSET_ID_CHARS = 12


@dataclass(frozen=True, slots=True)
class Ranking:
    """The keys that each system found, best first, by its name, and how long the search took."""

    systems: Mapping[str, tuple[str, ...]]
    milliseconds: float
    notes: tuple[str, ...]

    def keys(self, system: str) -> tuple[str, ...]:
        """What the system found, best first; nothing where it was not asked."""
        if system == RERANKED and system not in self.systems:
            return self.systems[FUSED]
        return self.systems.get(system, ())


async def rank(deps: Dependencies, asked: Asked, collection: str | None) -> Ranking:
    """Run one query; raises InvalidArgumentError, naming the line, for what the search refuses."""
    query = asked.query
    named = query.collection or collection
    selection = Selection(
        collections=None if named is None else (named,),
        filters=query.filters,
        captured_after=query.captured_after,
        captured_before=query.captured_before,
    )
    try:
        example = await picture(deps, asked)
        started = time.perf_counter()
        if query.search == "images":
            images = await deps.image_search(
                ImageRequest(
                    query=query.query,
                    picture=example,
                    selection=selection,
                    limit=DEPTH,
                    tool=_TOOL,
                )
            )
            report, last = images.report, tuple(hit.asset.id for hit in images.hits)
        else:
            passages = await deps.passage_search(
                PassageRequest(query=query.query, selection=selection, limit=DEPTH, tool=_TOOL)
            )
            report, last = passages.report, tuple(str(hit.passage.id) for hit in passages.hits)
    except (InvalidArgumentError, MediaError) as error:
        raise asked.line.error(error) from error
    return Ranking(_systems(report, last), (time.perf_counter() - started) * 1000, report.notes)


def _systems(report: SearchReport, last: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    systems = {name: tuple(map(str, each.keys)) for name, each in report.branches.items()}
    systems[FUSED] = tuple(map(str, report.fused))
    if report.reranked:
        systems[RERANKED] = last
    return systems


async def picture(deps: Dependencies, asked: Asked) -> Example | None:
    """The picture to search by: a file beside the run file, opened as tools do, or an asset's id.

    Raises InvalidArgumentError and MediaError.
    """
    name = asked.query.image
    if name is None:
        return None
    path = asked.line.file.parent / name
    if not path.is_file():
        if len(name) == _ASSET_ID_CHARS and name.isalnum():
            return name
        raise InvalidArgumentError(f"image {name!r} is no picture beside the run file")

    def opened() -> Example:
        data = _read(path, deps.limits.picture_bytes)
        return pictures.open_upright(data, max_pixels=deps.limits.picture_pixels, edge=1024)

    return await anyio.to_thread.run_sync(opened)


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise InvalidArgumentError(f"image {path} cannot be read: {error.strerror}") from error
    if len(data) > most_bytes:
        raise InvalidArgumentError(f"image {path} is larger than {most_bytes:,} bytes")
    return data
