"""An ingest forgets the words of texts that it replaces, and only those."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sightline.storage.records.deletion import delete_sources
from tests.storage.ingest.conftest import Bench
from tests.support.sample_images import fill


async def words(bench: Bench) -> set[str]:
    rows = await bench.rows("SELECT word FROM sightline.vocabulary")
    return {word for (word,) in rows}


async def test_the_words_of_a_replaced_file_are_forgotten(bench: Bench, album: Path) -> None:
    (album / "a.txt").write_text("crimson lantern")
    (album / "b.txt").write_text("crimson meadow")
    await bench.ingest("album")
    assert {"crimson", "lantern", "meadow"} <= await words(bench)
    (album / "a.txt").write_text("meadow harbor")
    assert (await bench.ingest("album")).replaced == 1
    left = await words(bench)
    assert {"crimson", "meadow", "harbor"} <= left
    assert "lantern" not in left


async def test_the_words_of_a_replaced_caption_are_forgotten(bench: Bench, album: Path) -> None:
    fill(album, 1)
    (album / "0000.txt").write_text("crimson lantern")
    await bench.ingest("album")
    (album / "0000.txt").write_text("crimson harbor")
    assert (await bench.ingest("album")).updated == 1
    left = await words(bench)
    assert {"crimson", "harbor"} <= left
    assert "lantern" not in left


async def test_a_deletion_does_not_take_words_from_an_ingest(bench: Bench, album: Path) -> None:
    for number in range(4):
        (album / f"{number}.txt").write_text(f"lantern {'x' * number}")
    await bench.ingest("album/0.txt")
    for number in range(1, 4):
        old = f"album/{number - 1}.txt"
        await asyncio.gather(
            bench.ingest(f"album/{number}.txt"),
            delete_sources(bench.database, bench.blobs, "album", names=[old]),
        )
        assert "lantern" in await words(bench)
