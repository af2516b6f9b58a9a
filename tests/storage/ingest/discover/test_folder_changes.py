"""Scans of a folder tell what changed, and what is still being written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sightline.storage.ingest.discover.folder_changes import (
    ChangeTracker,
    FolderChanges,
    FolderGoneError,
    is_temporary,
    scan_folder,
)
from sightline.storage.ingest.discover.input_paths import InputPath


class Watched:
    """A folder with a tracker; each ``scan`` confirms its changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tracker = ChangeTracker()

    def write(self, name: str, content: str = "content") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def look(self) -> FolderChanges:
        return self.tracker.update(scan_folder(InputPath("pictures", str(self.folder))))

    def scan(self) -> tuple[set[str], set[str]]:
        """Return what changed and what is gone."""
        changes = self.look()
        self.tracker.confirm(changes)
        return set(changes.changed), set(changes.gone)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    folder = tmp_path / "pictures"
    folder.mkdir()
    watched = Watched(folder)
    for name in ("a.jpg", "b.jpg", "sub/c.jpg"):
        watched.write(name)
    assert watched.scan() == (set(), set())
    assert watched.scan() == ({"a.jpg", "b.jpg", "sub/c.jpg"}, set())
    assert watched.scan() == (set(), set())
    return watched


def test_a_file_counts_when_two_scans_find_it_alike(watched: Watched) -> None:
    for part in ("half", "half and more", "all of it"):
        watched.write("d.jpg", part)
        assert watched.scan() == (set(), set())
    assert watched.scan() == ({"d.jpg"}, set())
    assert watched.scan() == (set(), set())


def test_changes_that_are_not_confirmed_are_found_again(watched: Watched) -> None:
    watched.write("a.jpg", "other")
    (watched.folder / "b.jpg").unlink()
    watched.look()
    for _ in range(2):
        changes = watched.look()
        assert (set(changes.changed), set(changes.gone)) == ({"a.jpg"}, {"b.jpg"})
    watched.tracker.confirm(changes)
    assert watched.scan() == (set(), set())


def test_a_file_that_is_replaced_by_deleting_and_writing_it_is_never_gone(
    watched: Watched,
) -> None:
    (watched.folder / "a.jpg").unlink()
    assert watched.scan() == (set(), set())
    watched.write("a.jpg", "saved by an editor")
    assert watched.scan() == (set(), set())
    assert watched.scan() == ({"a.jpg"}, set())


def test_a_moved_file_is_new_before_it_is_gone(watched: Watched) -> None:
    (watched.folder / "a.jpg").rename(watched.folder / "sub" / "z.jpg")
    assert watched.scan() == (set(), set())
    assert watched.scan() == ({"sub/z.jpg"}, {"a.jpg"})


def test_gone_files_wait_for_files_that_are_being_written(watched: Watched) -> None:
    """A copy to another name may follow the deletion."""
    (watched.folder / "a.jpg").unlink()
    for number in range(5):
        watched.write("copy.jpg", "x" * number)
        assert watched.scan() == (set(), set())
    assert watched.scan() == ({"copy.jpg"}, {"a.jpg"})


def test_a_file_that_always_changes_does_not_keep_others_for_ever(watched: Watched) -> None:
    (watched.folder / "a.jpg").unlink()
    gone = []
    for number in range(12):
        watched.write("recording.mp4", "x" * number)
        gone.append(watched.scan()[1])
    assert gone.count({"a.jpg"}) == 1


def test_a_sidecar_or_a_table_changes_what_it_describes(watched: Watched) -> None:
    watched.write("a.txt", "a caption")
    watched.scan()
    assert watched.scan() == ({"a.jpg"}, set())
    watched.write("sub/captions.csv", "file,caption\nc.jpg,a dog\n")
    watched.scan()
    assert watched.scan() == ({"sub/c.jpg"}, set())
    watched.write("captions.csv", "file,caption\n")
    watched.scan()
    assert watched.scan() == ({"a.jpg", "b.jpg", "sub/c.jpg"}, set())
    (watched.folder / "a.txt").unlink()
    (watched.folder / "captions.csv").unlink()
    watched.scan()
    assert watched.scan() == ({"a.jpg", "b.jpg", "sub/c.jpg"}, set())


def test_temporary_and_hidden_files_are_ignored(watched: Watched) -> None:
    for name in (".a.jpg.swp", "a.jpg~", "a.jpg.tmp", "b.jpg.crdownload", "~$c.docx", ".git/d.jpg"):
        watched.write(name)
    watched.scan()
    assert watched.scan() == (set(), set())
    assert not is_temporary("a.jpg")


def test_links_and_special_files_are_treated_as_an_ingest_does(watched: Watched) -> None:
    (watched.folder / "link.jpg").symlink_to("a.jpg")
    (watched.folder / "folder").symlink_to("sub")
    (watched.folder / "broken.jpg").symlink_to("nothing")
    os.mkfifo(watched.folder / "pipe.jpg")
    watched.scan()
    assert watched.scan() == ({"link.jpg"}, set())


def test_a_folder_that_vanishes_is_no_deletion(watched: Watched, tmp_path: Path) -> None:
    away = tmp_path / "away"
    watched.folder.rename(away)
    with pytest.raises(FolderGoneError, match="'pictures' cannot be read: No such file"):
        watched.look()
    away.rename(watched.folder)
    assert watched.scan() == (set(), set())


def test_a_folder_is_known_while_it_is_the_same(watched: Watched, tmp_path: Path) -> None:
    root, sub = str(watched.folder), str(watched.folder / "sub")
    (watched.folder / "sub" / "c.jpg").unlink()
    watched.look()
    identify = watched.tracker.identify_folder
    assert (identify(root), identify(sub)) == ("same", "same")
    # As when the disk below it is not mounted any more.
    shutil.move(sub, tmp_path / "kept")
    (watched.folder / "sub").mkdir()
    watched.look()
    assert (identify(root), identify(sub)) == ("same", "unknown")
    (watched.folder / "sub").rmdir()
    (watched.folder / "sub").symlink_to("/dev")
    assert identify(sub) == "other_disk"


def test_a_folder_stays_known_while_its_files_are_missing(watched: Watched, tmp_path: Path) -> None:
    sub, away = watched.folder / "sub", tmp_path / "away"
    sub.rename(away)
    sub.mkdir()
    watched.look()
    changes = watched.look()
    assert changes.gone == {"sub/c.jpg"}
    watched.tracker.confirm(changes, kept=changes.gone)
    for _ in range(2):
        assert watched.scan() == (set(), set())  # not reported again
    assert watched.tracker.identify_folder(str(sub)) == "unknown"
    sub.rmdir()
    away.rename(sub)
    assert watched.scan() == (set(), set())
    assert watched.scan() == ({"sub/c.jpg"}, set())
