"""Print the modules between the tool ``search_images`` and its SQL.

A search runs in this process under a profiler. For each SQL statement the call stack is reduced to
the modules of Sightline. A retriever runs in a task of its own, so its chain starts at the
pipeline.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from mcp import Client
from PIL import Image

from benchmarks.environment import temporary_settings
from sightline.server.app import create_app
from sightline.server.cli.library.ingest import ingest_paths
from sightline.server.config import Settings

TOOL = "sightline.tools.search_images"
_PREFIX = "sightline."
_COLORS = ("red", "green", "blue")


@dataclass(frozen=True)
class SearchPath:
    """``chains`` from outer to inner module, one per SQL call site, and all modules ``entered``."""

    chains: frozenset[tuple[str, ...]]
    entered: frozenset[str]

    def between(self) -> list[tuple[str, ...]]:
        """Return the chains without the tool and the modules above it."""
        return sorted(
            chain[chain.index(TOOL) + 1 :] if TOOL in chain else chain for chain in self.chains
        )

    @property
    def longest(self) -> int:
        """Number of modules between the tool and its SQL, in the longest chain."""
        return max(len(chain) for chain in self.between())


def _sightline_modules(frame: FrameType | None) -> tuple[str, ...]:
    chain: list[str] = []
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(_PREFIX) and (not chain or chain[-1] != name):
            chain.append(name)
        frame = frame.f_back
    return tuple(reversed(chain))


async def trace_search(settings: Settings, album: Path) -> SearchPath:
    """Ingest three images, search once to warm the caches, and trace a second search."""
    for color in _COLORS:
        Image.new("RGB", (64, 48), color).save(album / f"{color}.png")
        (album / f"{color}.txt").write_text(f"a {color} bus", encoding="utf-8")
    await ingest_paths(settings, [album], "album", lambda _: None)
    chains: set[tuple[str, ...]] = set()
    entered: set[str] = set()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_globals.get("__name__", "")
        if event != "call":
            return
        if name.startswith(_PREFIX):
            entered.add(name)
        elif name.startswith("psycopg.") and frame.f_code.co_name == "execute":
            chains.add(_sightline_modules(frame.f_back))

    async with Client(create_app(settings)) as client:
        for query in ("a red bus", "a blue bus by a house"):
            sys.setprofile(profile if query != "a red bus" else None)
            try:
                result = await client.call_tool(
                    "search_images", {"query": query, "collection": "album"}
                )
            finally:
                sys.setprofile(None)
            if result.is_error:
                raise RuntimeError(str(result.content))
    return SearchPath(frozenset(chains - {()}), frozenset(entered))


async def main(_: Sequence[str] = ()) -> None:
    """Print the chains of a search and their longest length."""
    with temporary_settings() as settings:
        album = settings.data_dir.parent / "album"
        album.mkdir()
        path = await trace_search(settings, album)
    for chain in path.between():
        print("  " + " > ".join(name.removeprefix(_PREFIX) for name in chain))
    print(f"longest chain: {path.longest} modules; entered in total: {len(path.entered)}")


if __name__ == "__main__":
    asyncio.run(main())
