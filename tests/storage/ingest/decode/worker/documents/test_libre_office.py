"""LibreOffice shows pages and reads old formats, and fetches nothing that a document links."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from PIL import Image

from sightline.server.cli.admin.doctor import check_libre_office
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.documents.libre_office import (
    convert,
    find_libre_office,
)
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.decode.worker_pool import no_preprocess
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.office_files import chart, repacked, word_file

needs_libre_office = pytest.mark.skipif(
    find_libre_office() is None, reason="LibreOffice is not installed"
)


def parts_of(name: str, data: bytes, **options: bool) -> list[messages.JobPart]:
    context = WorkerContext(no_preprocess, IngestOptions(**options))  # type: ignore[arg-type]
    return list(run_request(messages.DecodeRequest(name, data=data), context))


@pytest.fixture
def requested() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a local web server, and the paths that were requested."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(404)
            self.end_headers()

        do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - names of the library

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


def linked(address: str) -> bytes:
    """Return a document whose picture is outside of it."""
    data = word_file()
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        body = package.read("word/document.xml").decode().replace("r:embed=", "r:link=")
        name = "word/_rels/document.xml.rels"
        rels = package.read(name).decode()
    outside = f'Target="{address}" TargetMode="External"'
    rels = rels.replace('Target="media/image1.png"', outside)
    return repacked(data, {"word/document.xml": body, name: rels})


@pytest.mark.slow
@needs_libre_office
def test_nothing_that_a_document_links_is_fetched(
    requested: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, paths = requested
    (tmp_path / "red.png").write_bytes(chart("red"))
    for target in (f"{address}/x.png", f"file://{tmp_path}/red.png"):
        parts = parts_of("a.docx", linked(target), libre_office=True)
        (page,) = [each for each in parts if isinstance(each, messages.ImagePart)]
        colors = Image.open(io.BytesIO(page.content or b"")).convert("RGB").getcolors(1 << 24)
        assert not any(r > 200 and g < 90 and b < 90 for _, (r, g, b) in colors or [])
    assert paths == []


@pytest.mark.slow
@needs_libre_office
def test_pages_are_assets_and_old_formats_are_read() -> None:
    parts = parts_of("a.docx", word_file(), libre_office=True)
    images = [each for each in parts if isinstance(each, messages.ImagePart)]
    assert [(each.kind, each.page) for each in images] == [("image", None), ("page", 1)]
    old = convert(word_file(), ".docx", "doc", 60, lambda: None)
    parts = parts_of("a.doc", old, libre_office=True)
    frames = [each for each in parts if isinstance(each, messages.TextPassages)]
    assert any("four screws" in each.text for frame in frames for each in frame.passages)
    assert isinstance(info := parts[-1], messages.SourceInfo)
    assert (info.kind, info.mime_type) == ("document", "application/msword")
    with pytest.raises(MediaError, match="takes too long"):
        convert(word_file(), ".docx", "pdf", 0, lambda: None)


@needs_libre_office
def test_documents_of_killed_workers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = f"sightline-office-{ended.pid}"
    names = [f"{dead}-old", f"{dead}-new", f"sightline-office-{os.getpid()}-b", "other-1-c"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "document.rtf").write_text("a secret")
        if not name.endswith("new"):
            os.utime(tmp_path / name, (0, 0))
    with pytest.raises(MediaError, match="takes too long"):
        convert(word_file(), ".docx", "pdf", 0, lambda: None)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names[1:])


def test_without_libre_office_documents_are_read_without_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    parts = parts_of("a.docx", word_file(), libre_office=True)
    (warning,) = [each for each in parts if isinstance(each, messages.PartWarning)]
    assert warning.code == "pages_missing"
    assert "not installed" in warning.reason
    assert isinstance(parts[-1], messages.SourceInfo)


def test_doctor_says_whether_libre_office_is_used() -> None:
    program = Path("/usr/lib/libreoffice/program/soffice.bin")
    assert check_libre_office(program, is_used=True).status == "ok"
    assert "SIGHTLINE_INGEST__LIBRE_OFFICE" in check_libre_office(program, is_used=False).message
    assert check_libre_office(None, is_used=False).status == "note"
    assert check_libre_office(None, is_used=True).status == "error"
