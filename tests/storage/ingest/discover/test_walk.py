import os
from pathlib import Path
from threading import Event

import pytest

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.ingest.discover.input_paths import Upload, resolve_inputs
from sightline.storage.ingest.discover.walk import count
from sightline.storage.ingest.stage_types import DiscoveredFile
from tests.support.discovery import discover


def discovered(*paths: str | Path) -> list[DiscoveredFile]:
    return list(discover(resolve_inputs(paths)))


def names(*paths: str | Path) -> list[str]:
    return [each.name for each in discovered(*paths)]


def codes(*paths: str | Path) -> dict[str, str]:
    return {each.name: each.failure.code for each in discovered(*paths) if each.failure is not None}


def make(folder: Path, *files: str) -> None:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_names_are_as_the_user_gave_the_path(album: Path) -> None:
    make(album, "a.jpg", "in/b.jpg")
    assert (
        names("album") == names("album/") == names("./album") == ["album/a.jpg", "album/in/b.jpg"]
    )
    assert names("album/in/b.jpg") == ["album/in/b.jpg"]
    assert names(album) == [f"{album}/a.jpg", f"{album}/in/b.jpg"]


def test_the_current_folder_adds_nothing_to_names(
    album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(album, "a.jpg")
    monkeypatch.chdir(album)
    assert names(".") == ["a.jpg"]
    assert names("../album") == ["../album/a.jpg"]


def test_the_order_depends_only_on_names(album: Path) -> None:
    make(album, "b.jpg", "a/2.jpg", "a/1.jpg", "Ä.jpg", "B.jpg")
    assert names("album") == [
        f"album/{n}" for n in ("B.jpg", "a/1.jpg", "a/2.jpg", "b.jpg", "Ä.jpg")
    ]


def test_hidden_and_system_files_are_skipped(album: Path) -> None:
    make(album, ".hidden.jpg", ".git/a.jpg", "Thumbs.db", "__MACOSX/a.jpg", "~$a.docx", "a.jpg")
    assert names("album") == ["album/a.jpg"]


def test_a_hidden_file_is_ingested_if_given_by_name(album: Path) -> None:
    make(album, ".hidden.jpg")
    assert names("album", "album/.hidden.jpg") == ["album/.hidden.jpg"]


def test_patterns_are_expanded(album: Path) -> None:
    make(album, "a.jpg", "in/b.jpg", "in/c.png")
    assert names("album/**/*.jpg") == ["album/a.jpg", "album/in/b.jpg"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(album: Path) -> None:
    make(album, "a[1].jpg")
    assert names("album/a[1].jpg") == ["album/a[1].jpg"]


def test_a_file_given_twice_is_discovered_once(album: Path) -> None:
    make(album, "in/a.jpg")
    assert names("album/in/a.jpg", "album", "album/in", album / "in" / "a.jpg") == [
        "album/in/a.jpg"
    ]


def test_all_paths_without_a_match_are_named(album: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'nothing', 'none/\*\.jpg'"):
        resolve_inputs(["nothing", "album", "none/*.jpg"])


def test_sidecars_are_not_ingested_as_text_files(album: Path) -> None:
    make(album, "a.jpg", "a.txt", "a.json", "metadata.jsonl", "captions.csv", "notes.txt")
    assert names("album") == ["album/a.jpg", "album/notes.txt"]


def test_a_single_image_has_the_sidecars_in_its_folder(album: Path) -> None:
    make(album, "a.jpg")
    (album / "a.txt").write_text("a cat")
    (album / "metadata.jsonl").write_text('{"file_name": "a.jpg", "room": 7}')
    (one,) = discovered("album/a.jpg")
    assert one.sidecar is not None
    assert (one.sidecar.caption, one.sidecar.metadata) == ("a cat", {"room": 7})


def test_a_caption_table_applies_to_subfolders(album: Path) -> None:
    make(album, "train/a.jpg", "train/b.jpg")
    (album / "metadata.csv").write_text("file_name,text\ntrain/b.jpg,below\n")
    captions = {
        each.name: each.sidecar.caption if each.sidecar else None for each in discovered("album")
    }
    assert captions == {"album/train/a.jpg": None, "album/train/b.jpg": "below"}


def test_links_within_the_folder_are_followed_and_links_out_of_it_are_not(album: Path) -> None:
    make(album, "a.jpg")
    make(album.parent, "secret.jpg", "private/b.jpg")
    (album / "in.jpg").symlink_to("a.jpg")
    (album / "out.jpg").symlink_to("../secret.jpg")
    (album / "folder").symlink_to("../private")
    (album / "gone.jpg").symlink_to("nowhere.jpg")
    assert codes("album") == {
        "album/out.jpg": "link_outside",
        "album/folder": "link_outside",
        "album/gone.jpg": "unreadable",
    }
    assert [each.path for each in discovered("album") if each.name == "album/in.jpg"] == [
        str(album / "a.jpg")
    ]


def test_a_sidecar_that_links_out_of_the_folder_is_not_read(album: Path) -> None:
    make(album, "a.jpg")
    secret = album.parent / "secret.txt"
    secret.write_text("a secret")
    (album / "a.txt").symlink_to(secret)
    warnings: list[tuple[str, str, str]] = []
    (one,) = discover(resolve_inputs(["album"]), lambda *r: warnings.append(r))
    assert one.sidecar is None
    assert warnings == [
        ("sidecar_unreadable", "album/a.txt", "is a link that leads out of the given folder")
    ]


def test_circular_links_end(album: Path) -> None:
    make(album, "in/a.jpg")
    (album / "in" / "up").symlink_to("..")
    assert names("album") == ["album/in/a.jpg"]


def test_names_that_are_not_utf8_are_failures_with_a_printable_name(album: Path) -> None:
    folder = os.fsencode(album)
    Path(os.fsdecode(folder + b"/caf\xe9.jpg")).write_bytes(b"x")
    Path(os.fsdecode(folder + b"/d\xe9")).mkdir()
    assert codes("album") == {
        r"album/caf\xe9.jpg": "name_not_utf8",
        r"album/d\xe9": "name_not_utf8",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed_is_a_failure(album: Path) -> None:
    make(album, "shut/a.jpg", "b.jpg")
    (album / "shut").chmod(0)
    try:
        assert codes("album") == {"album/shut": "unreadable"}
    finally:
        (album / "shut").chmod(0o700)


def test_the_count_equals_the_discovered_files(album: Path) -> None:
    make(album, "a.jpg", "a.txt", "in/b.jpg", "in/.c.jpg", "notes.md")
    inputs = resolve_inputs(["album", Upload("u.jpg", b"x")])
    assert count(inputs, Event()) == len(names("album")) + 1 == 4
