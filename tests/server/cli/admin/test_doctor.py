import pytest

from sightline.server.cli.admin.doctor import check_detector, check_formats, check_python
from sightline.server.config import load_settings
from sightline.storage.ingest.formats import FORMATS, READERS, FileFormat, Reader


@pytest.mark.parametrize(
    ("version", "cves", "install"),
    [
        ((3, 11, 7), ["CVE-2024-0450", "CVE-2024-6232", "CVE-2025-8194"], "3.11.14"),
        ((3, 11, 9), ["CVE-2024-6232", "CVE-2025-8194"], "3.11.14"),
        ((3, 11, 13), ["CVE-2025-8194"], "3.11.14"),
        ((3, 12, 5), ["CVE-2024-6232", "CVE-2025-8194"], "3.12.12"),
        ((3, 13, 5), ["CVE-2025-8194"], "3.13.6"),
    ],
)
def test_an_interpreter_with_known_vulnerabilities_is_noted(
    version: tuple[int, int, int], cves: list[str], install: str
) -> None:
    diagnosis = check_python(version)
    assert diagnosis.status == "note"
    assert [word for word in diagnosis.message.split() if word.startswith("CVE-")] == cves
    assert f"Install {install} or newer" in diagnosis.message


@pytest.mark.parametrize("version", [(3, 11, 14), (3, 12, 12), (3, 13, 6), (3, 14, 0)])
def test_a_patched_interpreter_is_fine(version: tuple[int, int, int]) -> None:
    assert check_python(version).status == "ok"


def test_the_formats_that_are_read_are_listed() -> None:
    (diagnosis,) = check_formats(FORMATS)
    assert diagnosis.status == "ok"
    assert "image: JPEG, PNG" in diagnosis.message
    assert "PostScript" not in diagnosis.message


def test_a_reader_that_is_not_installed_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "reader of x", Reader("no_such_module", "x-package"))
    missing = FileFormat("X of tests", "image", (".x",), "image/x", "reader of x")
    first, second = check_formats((*FORMATS, missing))
    assert "X of tests" not in first.message
    assert (second.status, second.subject) == ("note", "file formats")
    assert second.message == (
        "X of tests cannot be read: x-package is not installed (pip install 'x-package')"
    )


async def test_the_detector_is_loaded_and_asked() -> None:
    found = await check_detector(load_settings())
    assert (found.status, found.subject) == ("note", "detector builtin")
    assert "SIGHTLINE_DETECTOR__MODEL=google/owlv2-base-patch16-ensemble" in found.message
    missing = load_settings(detector__model="local-dir:/no/such/detector")
    failed = await check_detector(missing)
    assert failed.status == "error"
    assert "/no/such/detector" in failed.message
    off = await check_detector(load_settings(detector__model="off"))
    assert (off.status, off.subject) == ("note", "detector off")
