"""A file is opened where its path was checked, whatever happens to the folders in between."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import cast

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError, NotAllowedError
from sightline.storage.ingest.decode.worker.open_file import open_file, read_file
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.ingest.discover.walk import count
from sightline.storage.ingest.stage_types import DiscoveredFile
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.image_input import resolve_allowed
from tests.storage.ingest.conftest import Bench, bench
from tests.support.discovery import discover
from tests.support.sample_images import jpeg

__all__ = ["bench"]

SECRET = "PRIVATE-KEY material outside of the root: xyzzy-4711"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An allowed root with a folder, and a folder of the same form outside."""
    for where, text in (("root", "inside"), ("outside", SECRET)):
        folder = tmp_path / where / "d"
        folder.mkdir(parents=True)
        (folder / "note.txt").write_text(text)
        (folder / "a.jpg").write_bytes(jpeg(1))
        (folder / "a.txt").write_text(text)
        (folder / "captions.csv").write_text(f"file_name,text\na.jpg,{text}\n")
    (tmp_path / "outside" / "d" / "secret-name.txt").write_text(SECRET)
    return (tmp_path / "root").resolve()


def swap(root: Path, part: str) -> None:
    """Replace a part of a path below the root by a link to the same place outside."""
    replaced = root / part
    replaced.rename(root / "moved")
    replaced.symlink_to(root.parent / "outside" / part)


async def texts(bench: Bench) -> str:
    rows = await bench.rows("SELECT text FROM sightline.passage")
    names = await bench.rows("SELECT name, error FROM sightline.source")
    return repr(rows + names)


@pytest.mark.parametrize("part", ["d", "d/note.txt"])
@pytest.mark.parametrize("given", ["d/note.txt", "d", ""])
async def test_a_path_that_is_swapped_after_its_check_leads_nowhere(
    bench: Bench, root: Path, part: str, given: str
) -> None:
    checked = InputPath(given, str((root / given).resolve(strict=True)))
    swap(root, part)
    summary = await bench.ingest(checked)
    found = await texts(bench)
    assert "xyzzy" not in found
    assert "secret-name" not in found
    assert summary.failed + summary.added + summary.updated >= 1


def test_a_folder_that_is_swapped_during_the_walk_is_not_entered(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "first.txt").write_text("first")
    (root / "d" / "e").mkdir()
    walk = discover([InputPath("", str(root))])
    assert next(walk).name == "a/first.txt"
    swap(root, "d")
    rest = list(walk)
    assert [(each.name, each.failure and each.failure.code) for each in rest if each.failure] == [
        ("d", "unreadable")
    ]
    assert not [each.name for each in rest if each.name.startswith("d/")]


def test_a_swapped_folder_is_not_counted_and_its_sidecars_are_not_read(root: Path) -> None:
    inputs = [InputPath("d", str(root / "d"))]
    assert count(inputs, Event()) == 2
    warnings: list[tuple[str, str, str]] = []
    walk = discover(inputs, lambda *each: warnings.append(each))
    first: DiscoveredFile = next(walk)
    swap(root, "d")
    sidecars = [first.sidecar, *[each.sidecar for each in walk]]
    assert SECRET not in repr(sidecars)


def test_every_read_of_a_worker_refuses_links_in_any_part(root: Path) -> None:
    path = str(root / "d" / "note.txt")
    data, stamp = read_file(path, 1000)
    assert data == b"inside"
    swap(root, "d")
    for read in (read_file, open_file):
        with pytest.raises(MediaError) as raised:
            read(path, 1000)
        assert raised.value.code in ("unreadable", "not_a_file")
    assert stamp.size == len(b"inside")


def test_links_inside_a_root_are_resolved_and_then_followed_no_more(root: Path) -> None:
    (root / "link.txt").symlink_to(root / "d" / "note.txt")
    (root / "out.txt").symlink_to(root.parent / "outside" / "d" / "note.txt")
    walk = discover([InputPath("", str(root))])
    found = {each.name: each for each in walk}
    assert found["link.txt"].path == str(root / "d" / "note.txt")
    assert found["out.txt"].failure is not None
    assert found["out.txt"].failure.code == "link_outside"


def test_a_root_that_is_replaced_by_a_link_stays_where_it_was(root: Path) -> None:
    deps = cast("Dependencies", SimpleNamespace(allowed_roots=(root,)))
    given = str(root / "d" / "note.txt")
    assert resolve_allowed(deps, given) == Path(given)
    root.rename(root.parent / "moved")
    root.symlink_to(root.parent / "outside")
    with pytest.raises(NotAllowedError):
        resolve_allowed(deps, given)


def test_a_tree_of_very_many_levels_is_a_failure(root: Path) -> None:
    here = os.open(root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("x", dir_fd=here)
        inner = os.open("x", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    walk = discover([InputPath("", str(root))])
    assert [each.failure.code for each in walk if each.failure] == ["too_deep"]


@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "/dev/tty", "folder", "link to a pipe"])
def test_a_file_that_became_something_else_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jpg"
    os.mkfifo(tmp_path / "pipe")
    match kind:
        case "pipe":
            path = tmp_path / "pipe"
        case "folder":
            path.mkdir()
        case "link to a pipe":
            path.symlink_to(tmp_path / "pipe")
        case device:
            path.symlink_to(device)
    digest = hashlib.sha256(b"").digest()
    with pytest.raises(MediaError) as raised:
        BlobStore(tmp_path / "data").read(f"file:{path}", digest, name="a.jpg")
    assert raised.value.code == "unreadable"
