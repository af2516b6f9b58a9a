"""The text of images is read again in other languages; all else stays."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from reportlab.lib.utils import ImageReader

from sightline.storage.errors import ConfigurationError, SpaceMismatchError, UnknownNameError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.reencode.reencoding import ReencodeProgress
from sightline.storage.ingest.reencode.text_reading import RereadSummary, reread_text
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.retrieval import PassageSearch
from sightline.storage.retrieval.search_types import PassageRequest
from tests.storage.ingest.conftest import Bench
from tests.support.encoders import BrightnessEncoder
from tests.support.language_reader import LanguageReader
from tests.support.media import pdf
from tests.support.sample_images import fill, jpeg

THAI = {"ocr_languages": ["English", "Thai"]}
LINES = "SELECT label, count(*) FROM sightline.region WHERE kind = 'ocr_line' GROUP BY 1 ORDER BY 1"
#: All that must stay as it is.
KEPT = {
    "assets": "SELECT id, caption, metadata, created_at, reading FROM sightline.asset ORDER BY id",
    "names": """
        SELECT id, kind, text FROM sightline.passage WHERE kind IN ('name', 'caption') ORDER BY id
    """,
    "sources": """
        SELECT id, name, location, metadata, sidecar_sha256 FROM sightline.source ORDER BY id
    """,
    "annotations": "SELECT id, label FROM sightline.annotation ORDER BY id",
    "vectors": """
        SELECT asset_id, embedding::text FROM sightline.embedding WHERE passage_id IS NULL
        ORDER BY asset_id
    """,
}


def scan(page: int) -> bytes:
    """A PDF of pages that are pictures."""
    content = io.BytesIO(jpeg(50))
    return pdf(*[lambda canvas: canvas.drawImage(ImageReader(content), 0, 0, 500, 700)] * page)


@pytest.fixture
async def read(bench: Bench, album: Path) -> Bench:
    """Pictures with captions, one in an archive, and a scan; read in English."""
    for path in fill(album, 4)[::2]:
        path.with_suffix(".txt").write_text(f"yard of {path.stem}")
    (album / "scan.pdf").write_bytes(scan(2))
    with zipfile.ZipFile(album / "more.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(60))
    bench.ocr_engine = LanguageReader()
    await bench.ingest("album", ocr="on")
    await bench.rows(
        "INSERT INTO sightline.annotation (asset_id, label, x0, y0, x1, y1, origin) "
        "SELECT id, 'gate', 0, 0, 1, 1, origin FROM sightline.asset, "
        "unnest(ARRAY['person', 'file']) AS origin RETURNING id"
    )
    return bench


async def reread(bench: Bench, engine: LanguageReader, **options: Any) -> RereadSummary:
    return await reread_text(
        bench.database,
        bench.blobs,
        "album",
        engine,
        **{
            "passage_encoder": bench.encoder,
            "options": IngestOptions(workers=1, ocr="on", file_timeout_seconds=20),
            "settings": THAI,
            **options,
        },
    )


async def test_text_is_read_in_other_languages_and_the_rest_stays(read: Bench) -> None:
    before = {name: await read.rows(query) for name, query in KEPT.items()}
    assert await read.rows(LINES) == [("words in English", 7)]
    reports: list[ReencodeProgress] = []
    summary = await reread(read, LanguageReader(), progress=reports.append)
    assert (summary.sources, summary.lines, summary.unreadable) == (6, 14, {})
    assert (reports[0].done, reports[0].total, reports[-1].done) == (0, 6, 6)
    assert await read.rows(LINES) == [("words in English", 7), ("words in Thai", 7)]
    assert {name: await read.rows(query) for name, query in KEPT.items()} == before
    search = PassageSearch(read.database, read.encoder, signing_key=b"k")
    hits = (await search.search(PassageRequest(query="Thai", limit=20))).hits
    assert len([hit for hit in hits if "Thai" in hit.passage.text]) == 7
    assert await check(read.database, read.blobs) == []
    # Nothing is left to read, also for an ingest.
    assert (await reread(read, LanguageReader())).sources == 0
    assert (await read.ingest("album", ocr="on")).updated == 0


async def test_an_interrupted_reading_continues_with_the_sources_that_are_left(
    read: Bench,
) -> None:
    class StopError(Exception):
        pass

    def stop(progress: ReencodeProgress) -> None:
        if progress.done == 2:
            raise StopError

    with pytest.raises(StopError):
        await reread(read, LanguageReader(), progress=stop)
    ((label, english), (_, thai)) = await read.rows(LINES)
    assert (label, english) == ("words in English", 7)
    assert 2 <= thai <= 3
    assert (await reread(read, LanguageReader())).sources == 4
    assert await read.rows(LINES) == [("words in English", 7), ("words in Thai", 7)]


async def test_files_that_are_gone_and_failures_of_the_engine_keep_the_old_text(
    read: Bench, album: Path
) -> None:
    (album / "0000.jpg").unlink()
    (album / "0001.jpg").write_bytes(jpeg(99))
    summary = await reread(read, LanguageReader())
    assert set(summary.unreadable) == {"album/0000.jpg", "album/0001.jpg"}
    assert summary.sources == 4
    assert await read.rows(LINES) == [("words in English", 7), ("words in Thai", 5)]


async def test_a_wrong_encoder_collection_or_mode_is_refused_before_anything_changes(
    read: Bench,
) -> None:
    with pytest.raises(SpaceMismatchError):
        await reread(read, LanguageReader(), passage_encoder=BrightnessEncoder())
    with pytest.raises(ConfigurationError, match=r"OCR of 'album' is off"):
        await reread(read, LanguageReader(), options=IngestOptions(ocr="off"))
    with pytest.raises(UnknownNameError):
        await reread_text(read.database, read.blobs, "nothing", None, passage_encoder=read.encoder)
    assert await read.rows(LINES) == [("words in English", 7)]
    assert await read.rows("SELECT settings FROM sightline.collection") == [({},)]
