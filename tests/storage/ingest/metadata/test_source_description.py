"""From metadata in files and beside them to captions, filters, annotations and found words."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas

from sightline.storage.ingest.discover.sidecars import Sidecar
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.metadata.embedded_metadata import EmbeddedMetadata, TimeTag
from sightline.storage.ingest.metadata.source_description import describe_source
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.retrieval import PassageRequest, PassageSearch, Selection
from tests.storage.ingest.conftest import Bench
from tests.support.sample_images import encoded, picture
from tests.support.sample_metadata import bag, exif_tags, face, gps_tags, xmp

TOWER = (48.8583, 2.2945)
PACKET = xmp(
    'xmp:Rating="4"',
    bag("dc:title", ["A door"], "Alt")
    + bag("dc:subject", ["beach", "lamp"])
    + face("Ada Lovelace", 0.5, 0.25, 0.2, 0.1),
)


def photo(seed: int = 1, position: tuple[float, float] = TOWER) -> bytes:
    exif = exif_tags(
        {0x010F: "Canon", 0x0110: "EOS 5D"}, {0x9003: "2024:05:03 17:22:10"}, gps_tags(*position)
    )
    return encoded(picture(seed), xmp=PACKET, exif=exif)


async def found(bench: Bench, query: str = "", **filters: object) -> list[str]:
    """Return the names of the sources whose passages a search finds."""
    search = PassageSearch(bench.database, None, signing_key=b"k")
    request = PassageRequest(query=query, selection=Selection(filters=filters or None))
    hits = (await search.search(request)).hits
    return list(dict.fromkeys(hit.passage.source for hit in hits))


async def test_embedded_metadata_is_shown_filtered_searched_and_drawn(
    bench: Bench, album: Path
) -> None:
    (album / "a.jpg").write_bytes(photo())
    (album / "b.jpg").write_bytes(photo(2, (35.0, 135.76)))
    (album / "plain.jpg").write_bytes(encoded(picture(3)))
    await bench.ingest("album")
    rows = await bench.rows(
        "SELECT s.name, caption, a.metadata, latitude, longitude, captured_at, captured_local "
        "FROM sightline.asset a JOIN sightline.source s ON s.id = source_id ORDER BY s.name"
    )
    _, caption, metadata, latitude, longitude, at, local = rows[0]
    assert caption == "A door"
    assert metadata == {
        "title": "A door",
        "keywords": ["beach", "lamp"],
        "rating": 4,
        "people": ["Ada Lovelace"],
        "place": ["Neuilly-sur-Seine", "Paris", "Île-de-France", "France"],
        "camera": "Canon EOS 5D",
    }
    assert (latitude, longitude) == pytest.approx(TOWER, abs=1e-5)
    # The place tells the zone of a clock without one.
    assert at == datetime(2024, 5, 3, 15, 22, 10, tzinfo=UTC)
    assert local == datetime(2024, 5, 3, 17, 22, 10)  # noqa: DTZ001
    assert rows[2][1:] == (None, {}, None, None, None, None)

    near = {"near": [48.85, 2.3], "km": 5}
    for filters in ({"gps": near}, {"place": "Paris"}, {"place": ["Atlantis", "France"]}):
        assert await found(bench, **filters) == ["album/a.jpg"], filters
    for filters in ({"rating": {"gte": 4}}, {"people": "Ada Lovelace"}, {"keywords": "beach"},
                    {"camera": {"contains": "Canon"}}, {"gps": {"near": [0, 0], "km": 20_000}},
                    {"gps": {"is_empty": False}}):  # fmt: skip
        assert await found(bench, **filters) == ["album/a.jpg", "album/b.jpg"], filters
    assert await found(bench, gps={"is_empty": True}) == ["album/plain.jpg"]
    assert await found(bench, **{"not": {"gps": near}}) == ["album/b.jpg", "album/plain.jpg"]
    assert await found(bench, "Neuilly") == ["album/a.jpg"]
    for words in ("Lovelace", "beach", "door"):
        assert sorted(await found(bench, words)) == ["album/a.jpg", "album/b.jpg"], words
    drawn = await bench.rows("SELECT label, x0, y0, x1, y1, origin FROM sightline.annotation")
    assert [row[0] for row in drawn] == ["Ada Lovelace"] * 2
    assert drawn[0][1:5] == pytest.approx((0.4, 0.2, 0.6, 0.3))
    assert drawn[0][5] == "file"
    assert await check(bench.database, bench.blobs) == []


async def test_a_sidecar_completes_the_metadata_of_the_file(bench: Bench, album: Path) -> None:
    path = album / "a.jpg"
    path.write_bytes(photo())
    await bench.ingest("album")
    (album / "a.json").write_text('{"caption": "mine", "rating": 1, "captured_at": 1258375918}')
    summary = await bench.ingest("album")
    assert summary.updated == 1
    query = "SELECT caption, metadata, captured_at, latitude FROM sightline.asset"
    ((caption, metadata, at, latitude),) = await bench.rows(query)
    assert (caption, metadata["rating"], metadata["people"]) == ("mine", 1, ["Ada Lovelace"])
    assert at == datetime(2009, 11, 16, 12, 51, 58, tzinfo=UTC)
    assert latitude is not None
    assert await bench.rows("SELECT count(*) FROM sightline.annotation") == [(1,)]
    assert await found(bench, "mine") == await found(bench, "Lovelace") == ["album/a.jpg"]


async def test_location_and_people_can_be_left_out(bench: Bench, album: Path) -> None:
    (album / "a.jpg").write_bytes(photo())
    await bench.ingest("album", keep_location=False, keep_people=False)
    ((metadata, latitude),) = await bench.rows("SELECT metadata, latitude FROM sightline.asset")
    assert metadata.keys() == {"title", "keywords", "rating", "camera"}
    assert latitude is None
    assert await bench.rows("SELECT count(*) FROM sightline.annotation") == [(0,)]
    text = "SELECT string_agg(text, ' ') FROM sightline.passage"
    assert await bench.rows(text) == [("A door beach, lamp a.jpg",)]


async def described(sidecar: Sidecar | None, embedded: EmbeddedMetadata, name: str = "a.jpg"):  # type: ignore[no-untyped-def]
    noted: list[str] = []
    options = IngestOptions()
    found = await describe_source(
        name, "image", sidecar, embedded, options, UTC, lambda *given: noted.append(given[2])
    )
    return found, noted


async def test_a_broken_time_in_a_sidecar_is_a_warning_and_the_next_time_counts() -> None:
    embedded = EmbeddedMetadata(times=(TimeTag("2024:05:03 17:22:10"),))
    got, noted = await described(Sidecar("mine", {"a": 1}, "yesterday"), embedded)
    assert (got.caption, got.metadata) == ("mine", {"a": 1})
    assert got.captured.at == datetime(2024, 5, 3, 17, 22, 10, tzinfo=UTC)
    assert noted == ["captured_at is 'yesterday'; it must be an ISO 8601 time"]
    got, _ = await described(None, EmbeddedMetadata(), "IMG_20240503_172210.jpg")
    assert got.captured.at == datetime(2024, 5, 3, 17, 22, 10, tzinfo=UTC)


def document(**tags: str) -> bytes:
    file = io.BytesIO()
    canvas = Canvas(file)
    for name, value in tags.items():
        getattr(canvas, f"set{name}")(value)
    canvas.drawString(72, 700, "Some text on the only page.")
    canvas.save()
    return file.getvalue()


async def test_title_and_sidecar_of_a_pdf_are_found(bench: Bench, album: Path) -> None:
    (album / "a.pdf").write_bytes(
        document(Title="Bridge inspection", Keywords="rivets", Author="Ann Lee")
    )
    (album / "b.pdf").write_bytes(document())
    (album / "b.json").write_text('{"caption": "minutes of the board", "year": 1999}')
    await bench.ingest("album")
    found = await bench.rows(
        "SELECT p.kind, p.text, a.page, a.caption, a.metadata FROM sightline.content_passage p "
        "JOIN sightline.asset a ON a.id = p.asset_id WHERE p.kind IN ('caption', 'metadata') "
        "ORDER BY p.text"
    )
    title = {"title": "Bridge inspection", "keywords": ["rivets"], "author": "Ann Lee"}
    board = "minutes of the board"
    assert found == [
        ("caption", "Bridge inspection", 1, None, title),
        ("caption", board, 1, board, {"year": 1999}),
        ("metadata", "rivets\nAnn Lee", 1, None, title),
    ]
