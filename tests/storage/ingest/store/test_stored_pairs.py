"""An ingest stores which pictures show the same, and keeps that up to date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sightline.storage.db import row_security
from sightline.storage.records.deletion import delete_sources
from tests.storage.ingest.conftest import Bench
from tests.storage.test_picture_hashes import scene

_PAIRS = (
    "SELECT one.name, other.name FROM sightline.picture_pair AS pair "
    "JOIN sightline.asset AS a ON a.id = pair.asset_id "
    "JOIN sightline.source AS one ON one.id = a.source_id "
    "JOIN sightline.asset AS b ON b.id = pair.other_asset_id "
    "JOIN sightline.source AS other ON other.id = b.source_id ORDER BY 1, 2"
)


async def pairs(bench: Bench) -> list[tuple[str, str]]:
    """Return the file names of stored pairs."""
    return [(Path(one).stem, Path(other).stem) for one, other in await bench.rows(_PAIRS)]


def both_ways(*found: Sequence[str]) -> list[tuple[str, str]]:
    return sorted(pair for one, other in found for pair in ((one, other), (other, one)))


@pytest.fixture
def pictures(album: Path) -> Path:
    """Write two sizes of one picture, and another picture."""
    scene(9).save(album / "large.png")
    scene(9).resize((128, 96)).save(album / "small.png")
    scene(4).save(album / "else.png")
    return album


async def test_an_ingest_stores_pairs_of_its_files_and_with_earlier_ones(
    bench: Bench, pictures: Path
) -> None:
    await bench.ingest("album")
    assert await pairs(bench) == both_ways(("large", "small"))
    scene(4).resize((128, 96)).save(pictures / "later.png")
    await bench.ingest("album/later.png", collection="other")
    assert await pairs(bench) == both_ways(("large", "small"), ("else", "later"))


async def test_a_file_with_other_bytes_gets_other_pairs(bench: Bench, pictures: Path) -> None:
    await bench.ingest("album")
    scene(4).resize((128, 96)).save(pictures / "small.png")
    assert (await bench.ingest("album")).replaced == 1
    assert await pairs(bench) == both_ways(("else", "small"))


async def test_a_file_that_comes_back_gets_its_pairs_again(bench: Bench, pictures: Path) -> None:
    await bench.ingest("album")
    await delete_sources(bench.database, bench.blobs, "album", names=["album/small.png"])
    assert await pairs(bench) == []
    assert (await bench.ingest("album")).added == 1
    assert await pairs(bench) == both_ways(("large", "small"))


async def test_a_principal_sees_only_pairs_within_its_collections(
    bench: Bench, pictures: Path
) -> None:
    await bench.ingest("album/large.png", "album/else.png")
    scene(4).resize((128, 96)).save(pictures / "copy.png")
    await bench.ingest("album/copy.png")
    await bench.ingest("album/small.png", collection="secret")
    assert await pairs(bench) == both_ways(("copy", "else"), ("large", "small"))
    async with bench.database.connection() as connection:
        await row_security.bind(connection, "alice", ["album"])
    async with bench.database.connection() as connection:
        await row_security.set_principal(connection, "alice")
        rows = await (await connection.execute(_PAIRS.encode())).fetchall()
        cursor = await connection.execute("SELECT count(*) FROM sightline.picture_pair")
        assert await cursor.fetchall() == [(2,)]
    assert [(Path(one).stem, Path(other).stem) for one, other in rows] == both_ways(
        ("copy", "else")
    )
