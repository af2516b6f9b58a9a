import os
import stat
from pathlib import Path

import pytest

from sightline.storage.files import (
    SpecialFileError,
    create_private,
    open_real,
    replace_private,
    write_private,
)


def content_of(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "d").mkdir(parents=True)
    (tmp_path / "root" / "d" / "file.txt").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file.txt").write_bytes(b"outside")
    return (tmp_path / "root").resolve()


def test_files_and_folders_are_opened(root: Path) -> None:
    assert content_of(open_real(root / "d" / "file.txt")) == b"inside"
    folder = open_real(root / "d")
    assert os.listdir(folder) == ["file.txt"]  # noqa: PTH208 - a descriptor
    os.close(folder)


@pytest.mark.parametrize("part", ["d/file.txt", "d", ""])
def test_no_part_of_a_path_may_be_a_link(root: Path, part: str) -> None:
    replaced = root / part
    replaced.rename(f"{replaced}.old")
    replaced.symlink_to(root.parent / "outside" / ("file.txt" if part == "d/file.txt" else ""))
    with pytest.raises((SpecialFileError, NotADirectoryError)):
        open_real(root / "d" / "file.txt")


def test_a_link_that_stays_inside_is_refused_unless_it_was_resolved_before(root: Path) -> None:
    (root / "link.txt").symlink_to(root / "d" / "file.txt")
    with pytest.raises(SpecialFileError):
        open_real(root / "link.txt")
    assert content_of(open_real((root / "link.txt").resolve())) == b"inside"


@pytest.mark.parametrize(
    "path",
    [
        *("{root}/../outside/file.txt", "{root}/d/../../outside/file.txt", "{root}/d/.."),
        *("d/file.txt", "", "~/file.txt"),
    ],
)
def test_relative_paths_and_ways_up_are_refused(root: Path, path: str) -> None:
    with pytest.raises(PermissionError):
        open_real(path.format(root=root))


def test_a_link_of_the_system_is_not_followed() -> None:
    with pytest.raises(NotADirectoryError):
        open_real("/proc/self/root/etc/passwd")


def test_nul_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="null"):
        open_real(f"{root}/d\0/file.txt")


def test_pipes_and_devices_are_refused_and_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe")
    for path in (root / "pipe", Path("/dev/zero"), Path("/dev/tty")):
        with pytest.raises(SpecialFileError):
            open_real(path)


def test_private_files_ignore_the_umask_and_the_mode_of_what_they_replace(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    target.chmod(0o666)
    umask = os.umask(0)
    try:
        with replace_private(target) as file:
            (partial,) = tmp_path.glob(".*.partial")
            assert mode_of(partial) == 0o600  # while it is written, too
            file.write(b"new")
        with create_private(tmp_path / "other") as file:
            assert mode_of(tmp_path / "other") == 0o600
    finally:
        os.umask(umask)
    assert target.read_text() == "new"
    assert mode_of(target) == 0o600


def test_a_failure_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    write_private(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), replace_private(tmp_path / "file") as file:
        file.write(bytes(1 // 0))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "old")]


def test_an_unfinished_file_of_the_same_process_id_does_not_stop_the_next_write(
    tmp_path: Path,
) -> None:
    with replace_private(tmp_path / "file"):  # what a process killed here would leave
        assert list(tmp_path.glob(".*.partial"))
        write_private(tmp_path / "file", "new")
        assert (tmp_path / "file").read_text() == "new"


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(SpecialFileError), replace_private(Path("/dev/null")):
        pass


def test_an_existing_file_is_not_opened_as_new(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "link")


def test_a_written_file_replaces_the_target_of_our_own_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real" / "link").symlink_to("../folder/file")
    write_private(tmp_path / "folder" / ".." / "folder" / "link", "new")
    assert (tmp_path / "real" / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        write_private(tmp_path / "loop", "new")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_link_of_another_account_in_a_shared_folder_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "report.html").write_text("old")
    shared = tmp_path / "shared"  # such as /tmp
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "report.html").symlink_to(victim / "report.html")
    (shared / "out").symlink_to(victim)
    (shared / "mine").symlink_to("out")
    for link in ("report.html", "out"):
        os.chown(shared / link, 12_345, -1, follow_symlinks=False)
    for path in ("report.html", "out/report.html", "mine/report.html"):
        with pytest.raises(SpecialFileError, match="link of another account"):
            write_private(shared / path, "new")
    assert (victim / "report.html").read_text() == "old"
    assert [each.name for each in victim.iterdir()] == ["report.html"]
    shared.chmod(0o755)  # now only its owner can have made the links
    write_private(shared / "mine" / "report.html", "new")
    assert (victim / "report.html").read_text() == "new"


def test_a_folder_that_becomes_a_link_during_the_write_moves_nothing(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (other / "file").write_text("old")
    with replace_private(folder / "file") as file:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(other)
        file.write(b"new")
    assert (tmp_path / "moved" / "file").read_text() == "new"
    assert [(each.name, each.read_text()) for each in other.iterdir()] == [("file", "old")]
