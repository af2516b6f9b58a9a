"""Test files are taken from source distributions, and every problem is counted."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from benchmarks.public_files import SuffixReport, print_reports, unpack
from sightline.storage.ingest.progress import IngestStats


def sdist(path: Path, *names: str) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))


def test_only_test_files_are_taken(tmp_path: Path) -> None:
    (tmp_path / "sdists").mkdir()
    (tmp_path / "files").mkdir()
    sdist(
        tmp_path / "sdists" / "pic-1.0.tar.gz",
        *("pic-1.0/Tests/images/A.PNG", "pic-1.0/Tests/images/b.png", "pic-1.0/Tests/test_a.py"),
        *("pic-1.0/logo.png", "pic-1.0/Tests/.hidden/c.png", "pic-1.0/samples/LICENSE"),
    )
    for _ in range(2):  # unpacked once
        files = unpack(tmp_path / "sdists", tmp_path / "files")
        assert {suffix: [path.name for path in paths] for suffix, paths in files.items()} == {
            "(none)": ["LICENSE"],
            ".png": ["A.PNG", "b.png"],
        }


def test_crashes_and_refusals_without_advice_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    stats = IngestStats("public", lambda _: None, max_examples=None)
    stats.add_file("a.png", "added")
    stats.fail("broken", "b.png", "page 3 cannot be read")
    stats.fail("broken", "c.png", "page 4 cannot be read")
    stats.fail("crashed", "d.png", "crashed its decoder process (signal 11)")
    stats.fail("strange", "e.png", "is strange")
    report = SuffixReport(5)
    report.add(stats.summary(1, 1, []))
    assert (report.read, report.refused["broken: page … cannot be read"]) == (1, 2)
    print_reports({".png": report})
    text = capsys.readouterr().out
    assert "crashed: d.png: crashed its decoder process (signal 11)" in text
    assert "unexplained: e.png: strange" in text
