"""Files that are gone are forgotten, but not those of a disk that is not mounted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.maintenance.missing_files import MissingFiles, find_missing, forget_files
from sightline.storage.records import collections
from tests.support.database_rows import add_asset, add_source

Ingested = Callable[..., Awaitable[None]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two files in each of two folders."""
    folder = tmp_path / "pictures"
    for name in ("2018/a.jpg", "2018/b.jpg", "2019/c.jpg", "2019/d.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes of a picture")
    return folder


@pytest.fixture
def ingested(database: Database) -> Ingested:
    """Write the rows of files, each with one asset."""

    async def write(*paths: Path) -> None:
        async with database.write_connection() as connection:
            album = await collections.ensure(connection, "album")
            for number, path in enumerate(paths):
                name = str(path)
                source = await add_source(connection, album, name, location=f"file:{name}")
                await add_asset(connection, album, f"{number:012d}", source_id=source)

    return write


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.jpg"))


def names(missing: MissingFiles) -> list[str]:
    return [Path(each.name).name for each in missing.deleted]


def doubts(missing: MissingFiles) -> dict[str, str]:
    return {each.folder: each.reason for each in missing.doubtful}


async def test_a_deleted_file_is_forgotten_with_its_assets(
    database: Database, root: Path, ingested: Ingested, tmp_path: Path
) -> None:
    await ingested(*files(root))
    (root / "2018" / "a.jpg").unlink()
    missing = await find_missing(database, "album")
    assert (missing.checked, names(missing), doubts(missing)) == (4, ["a.jpg"], {})
    blobs = BlobStore(tmp_path)
    deleted = await forget_files(database, blobs, missing.collection, missing.deleted)
    assert (deleted.sources, deleted.assets) == (1, 1)
    again = await find_missing(database, "album")
    assert (again.checked, again.deleted) == (3, ())


async def test_a_deleted_folder_beside_another_is_forgotten(
    database: Database, root: Path, ingested: Ingested
) -> None:
    await ingested(*files(root))
    shutil.rmtree(root / "2019")
    missing = await find_missing(database, "album")
    assert (names(missing), doubts(missing)) == (["c.jpg", "d.jpg"], {})


async def test_files_of_a_root_that_is_missing_or_empty_are_doubtful(
    database: Database, root: Path, ingested: Ingested
) -> None:
    await ingested(*files(root))
    away = str(root.with_name("away"))
    shutil.move(root, away)
    missing = await find_missing(database, "album")
    assert missing.deleted == ()
    assert doubts(missing) == {str(root): "does not exist; was its disk removed?"}
    assert len(missing.with_doubtful()) == 4
    (root / "2018").mkdir(parents=True)  # an empty mount point in which a folder was made
    missing = await find_missing(database, "album")
    assert missing.deleted == ()
    assert doubts(missing) == {
        str(root / "2018"): "is empty; is its disk mounted?",
        str(root / "2019"): "does not exist; was its disk removed?",
    }
    shutil.rmtree(root)
    shutil.move(away, root)
    assert (await find_missing(database, "album")).with_doubtful() == ()


async def test_an_empty_folder_counts_if_it_is_known(
    database: Database, root: Path, ingested: Ingested
) -> None:
    await ingested(*files(root))
    for path in files(root):
        path.unlink()
    known = str(root / "2018")
    missing = await find_missing(
        database, "album", identify_folder=lambda path: "same" if path == known else "unknown"
    )
    assert names(missing) == ["a.jpg", "b.jpg"]
    assert doubts(missing) == {str(root / "2019"): "is empty; is its disk mounted?"}


async def test_files_are_kept_if_another_disk_has_the_place_of_theirs(
    database: Database, root: Path, ingested: Ingested
) -> None:
    await ingested(*files(root))
    (root / "2018" / "a.jpg").unlink()  # b.jpg is a file of the other disk
    missing = await find_missing(database, "album", identify_folder=lambda _: "other_disk")
    assert missing.deleted == ()
    assert doubts(missing) == {str(root / "2018"): "is on another disk than before"}


async def test_a_file_left_in_the_folder_proves_that_its_disk_is_there(
    database: Database, root: Path, ingested: Ingested
) -> None:
    await ingested(root / "2018" / "a.jpg")
    (root / "2018" / "a.jpg").unlink()  # b.jpg was never ingested
    assert names(await find_missing(database, "album")) == ["a.jpg"]


async def test_a_folder_beside_another_disk_is_doubtful(
    database: Database, ingested: Ingested, memory_disk: Path
) -> None:
    (memory_disk / "a.jpg").write_bytes(b"bytes")
    vanished = memory_disk.parents[1] / "no-such-disk"
    await ingested(memory_disk / "a.jpg", vanished / "b.jpg")
    missing = await find_missing(database, "album")
    assert missing.deleted == ()
    assert doubts(missing) == {str(vanished): "does not exist; was its disk removed?"}


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """A folder on another disk than the parent of its parent, as of a disk below /media."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == memory.parent.stat().st_dev:
        pytest.skip("this system has no second disk")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


async def test_a_file_that_cannot_be_reached_is_doubtful(
    database: Database, root: Path, ingested: Ingested
) -> None:
    loop = root / "2018" / "loop"
    loop.symlink_to(loop)
    await ingested(root / "2018" / "b.jpg", loop / "e.jpg")
    missing = await find_missing(database, "album")
    assert missing.deleted == ()
    assert "cannot be read" in doubts(missing)[str(loop)]


async def test_only_files_below_the_given_folders_are_reported(
    database: Database, root: Path, ingested: Ingested
) -> None:
    await ingested(*files(root))
    (root / "2018" / "a.jpg").unlink()
    (root / "2019" / "c.jpg").unlink()
    missing = await find_missing(database, "album", within=[str(root / "2019")])
    assert names(missing) == ["c.jpg"]
    # The start of a name is not a folder.
    assert names(await find_missing(database, "album", within=[str(root / "20")])) == []


async def test_a_file_that_came_back_or_was_moved_is_kept(
    database: Database, root: Path, ingested: Ingested, tmp_path: Path
) -> None:
    await ingested(*files(root))
    gone, moved = root / "2018" / "a.jpg", root / "2019" / "c.jpg"
    gone.unlink()
    moved.rename(root / "2019" / "e.jpg")
    missing = await find_missing(database, "album")
    assert len(missing.deleted) == 2
    gone.write_bytes(b"bytes of a picture")
    async with database.write_connection() as connection:  # as an ingest does
        await connection.execute(
            "UPDATE source SET location = 'file:' || %s WHERE location = 'file:' || %s",
            [str(root / "2019" / "e.jpg"), str(moved)],
        )
    blobs = BlobStore(tmp_path)
    deleted = await forget_files(database, blobs, missing.collection, missing.deleted)
    assert deleted.sources == 0
    assert (await find_missing(database, "album")).checked == 4
