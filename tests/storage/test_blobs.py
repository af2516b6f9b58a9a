from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError, StorageError

CONTENT = b"some bytes"
DIGEST = hashlib.sha256(CONTENT).digest()


def test_stored_bytes_can_be_read(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    location = store.put(CONTENT)
    assert location == f"object:{DIGEST.hex()}"
    assert store.exists(location)
    assert store.read(location, DIGEST, name="it") == CONTENT
    assert list(store.locations()) == [location]


def test_concurrent_puts_of_equal_bytes_create_one_blob(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        locations = set(threads.map(store.put, [CONTENT] * 64))
    assert len(locations) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [
        tmp_path / "objects" / DIGEST.hex()[:2] / DIGEST.hex()[2:]
    ]


def test_stored_files_are_private(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(CONTENT)
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "objects").rglob("*")}
    assert modes == {0}


def test_a_user_file_is_read_and_never_deleted(tmp_path: Path) -> None:
    picture = tmp_path / "a picture é.jpg"
    picture.write_bytes(CONTENT)
    store = BlobStore(tmp_path / "data")
    assert store.read(f"file:{picture}", DIGEST, name="it") == CONTENT
    assert store.discard([f"file:{picture}"]) == 0
    assert picture.exists()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(CONTENT + b"!")
    with pytest.raises(MediaError, match="has changed since ingest") as raised:
        BlobStore(tmp_path).read(f"file:{picture}", DIGEST, name="album/it.jpg")
    assert raised.value.code == "changed"


def test_a_missing_file_is_reported_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"^album/it\.jpg no longer exists") as raised:
        BlobStore(tmp_path).read(f"file:{tmp_path}/gone.jpg", DIGEST, name="album/it.jpg")
    assert raised.value.code == "missing"
    assert str(tmp_path) not in str(raised.value)


def test_a_damaged_blob_is_refused(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    location = store.put(CONTENT)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(b"other bytes")
    with pytest.raises(MediaError) as raised:
        store.read(location, DIGEST, name="it")
    assert raised.value.code == "changed"


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(MediaError, match="not a file") as raised:
        BlobStore(tmp_path).read(f"file:{tmp_path}/pipe.jpg", DIGEST, name="album/it.jpg")
    assert raised.value.code == "unreadable"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="not a file"):
        BlobStore(tmp_path).read(f"file:{tmp_path}", DIGEST, name="album/it.jpg")


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(CONTENT)
    with pytest.raises(MediaError, match="limit is 4") as raised:
        BlobStore(tmp_path).read(f"file:{picture}", DIGEST, max_bytes=4, name="album/it.jpg")
    assert raised.value.code == "too_large"


def test_discard_deletes_a_blob_once(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    location = store.put(CONTENT)
    assert store.discard([location, location]) == 1
    assert not store.exists(location)
    assert store.put(CONTENT) == location


@pytest.mark.parametrize(
    "location",
    [
        "",
        "object:",
        "object:../../etc/passwd",
        "object:" + "A" * 64,
        "object:" + "a" * 63,
        "object:" + "a" * 64 + "\n",
        "file:relative",
        "/etc/passwd",
        "http://example.org/",
    ],
)
def test_an_invalid_location_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(StorageError, match="is not a location"):
        BlobStore(tmp_path).read(location, DIGEST, name="album/it.jpg")


def test_an_unwritable_store_is_reported(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"in the way")
    with pytest.raises(StorageError, match="could not be stored"):
        BlobStore(tmp_path).put(CONTENT)
