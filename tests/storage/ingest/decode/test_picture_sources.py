"""Pictures with pages or frames, from the file to the database."""

from __future__ import annotations

from pathlib import Path

from tests.storage.ingest.conftest import Bench
from tests.support.sample_images import encoded, picture


async def test_pages_and_frames_are_assets_of_their_own(bench: Bench, album: Path) -> None:
    images = [picture(seed, (64, 48)) for seed in range(3)]
    how = {"save_all": True, "append_images": images[1:]}
    (album / "a.tif").write_bytes(encoded(images[0], "TIFF", **how))
    (album / "b.gif").write_bytes(encoded(images[0], "GIF", duration=500, **how))
    (album / "c.heic").write_bytes(encoded(images[0], "AVIF"))
    summary = await bench.ingest("album")
    assert (summary.added, summary.failed, summary.images) == (3, 0, 7)
    rows = await bench.rows(
        "SELECT s.kind, s.mime_type, a.kind, a.page, a.frame_seconds, a.location "
        "FROM sightline.asset AS a JOIN sightline.source AS s ON s.id = a.source_id "
        "ORDER BY s.name, a.ordinal"
    )
    assert [row[:5] for row in rows] == [
        ("image", "image/tiff", "page", 1, None),
        ("image", "image/tiff", "page", 2, None),
        ("image", "image/tiff", "page", 3, None),
        ("image", "image/gif", "frame", None, 0.0),
        ("image", "image/gif", "frame", None, 0.5),
        ("image", "image/gif", "frame", None, 1.0),
        ("image", "image/avif", "image", None, None),
    ]
    assert all(location.startswith("object:") for *_, location in rows[:6])
    again = await bench.ingest("album")
    assert (again.unchanged, again.added, again.updated) == (3, 0, 0)
