# ruff: noqa: DTZ001 - wall clocks have no zone
import io
import os
import random
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.storage.errors import InvalidArgumentError, SpaceMismatchError
from sightline.storage.ingest.discover.input_paths import Upload
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import assets
from sightline.storage.records.deletion import delete_assets
from sightline.storage.text.analyzer import analyze
from tests.storage.ingest.conftest import TABLES, Bench
from tests.support.encoders import ColorHistogramEncoder
from tests.support.faulty_preprocessing import CRASH, HANG, MisbehavingEncoder
from tests.support.sample_images import encoded, exif, fill, jpeg, picture


async def test_a_folder_becomes_assets_with_vectors_thumbnails_and_captions(
    bench: Bench, album: Path
) -> None:
    fill(album, 3)
    (album / "0001.txt").write_text("a red door")
    summary = await bench.ingest("album")
    assert (summary.added, summary.failed, summary.images, summary.passages) == (3, 0, 3, 1)
    found = await bench.rows(
        "SELECT a.id, s.name, s.location, a.location, a.width, a.height, a.sha256, s.mime_type, "
        "e.embedding FROM sightline.asset a JOIN sightline.source s ON s.id = a.source_id "
        "JOIN sightline.embedding e ON e.asset_id = a.id AND e.passage_id IS NULL ORDER BY s.name"
    )
    assert [row[1] for row in found] == ["album/0000.jpg", "album/0001.jpg", "album/0002.jpg"]
    for number, (_, _, source_place, place, width, height, sha256, mime, vector) in enumerate(
        found
    ):
        path = album / f"{number:04}.jpg"
        assert source_place == place == f"file:{path}"
        assert (width, height, mime) == (48, 32, "image/jpeg")
        assert bench.blobs.read(place, sha256, name="it") == path.read_bytes()
        pixels = bench.encoder.preprocess(Image.open(path))
        expected = (await bench.encoder.encode_images([pixels]))[0]
        assert np.allclose(vector.to_numpy().astype(np.float32), expected, atol=2e-3)
    async with bench.database.connection() as connection:
        asset = await assets.fetch_one(connection, found[1][0])
        thumbnail = await assets.thumbnail(connection, asset.id)
    assert asset.caption == "a red door"
    assert Image.open(io.BytesIO(thumbnail)).size == (48, 32)


async def test_a_caption_is_a_passage_on_its_asset_with_terms_and_a_vector(
    bench: Bench, album: Path
) -> None:
    fill(album, 1)
    (album / "0000.txt").write_text("Two white dogs, 两只白狗")
    await bench.ingest("album")
    ((id_, kind, text, asset, count),) = await bench.rows(
        "SELECT p.id, p.kind, text, a.id, token_count FROM sightline.content_passage p "
        "JOIN sightline.asset a ON a.id = p.asset_id"
    )
    analysis = analyze(text)
    assert (kind, text, count) == ("caption", "Two white dogs, 两只白狗", analysis.token_count)
    terms = await bench.rows(
        "SELECT term, frequency FROM sightline.posting "
        "JOIN sightline.content_passage ON id = passage_id"
    )
    assert dict(terms) == analysis.frequencies
    assert await bench.rows(
        "SELECT id FROM sightline.content_passage WHERE tokens @@ 'dog'::tsquery"
    )
    ((vector, on),) = await bench.rows(
        "SELECT embedding, asset_id FROM sightline.embedding WHERE passage_id = %s", id_
    )
    assert on == asset
    expected = (await bench.encoder.encode_texts([text]))[0]
    assert np.allclose(vector.to_numpy().astype(np.float32), expected, atol=2e-3)


async def test_text_files_become_chunks_with_offsets(bench: Bench, album: Path) -> None:
    text = "# Boards\n\n" + "The AM4 board has holes 90 mm apart. 孔距为九十毫米。\n" * 60
    (album / "boards.md").write_text(text)
    (album / "utf16.txt").write_text("weiße Wände", encoding="utf-16")
    summary = await bench.ingest("album")
    assert summary.added == 2
    rows = await bench.rows(
        "SELECT s.name, s.kind, s.mime_type, p.kind, p.text, p.char_start, p.char_end "
        "FROM sightline.content_passage p JOIN sightline.source s ON s.id = p.source_id "
        "ORDER BY s.name, p.ordinal"
    )
    assert rows[-1][:5] == ("album/utf16.txt", "text", "text/plain", "chunk", "weiße Wände")
    boards = rows[:-1]
    assert len(boards) > 3
    assert {row[:4] for row in boards} == {("album/boards.md", "text", "text/markdown", "chunk")}
    assert all(text[start:end] == chunk for *_, chunk, start, end in boards)


async def test_the_same_bytes_twice_change_nothing(bench: Bench, album: Path) -> None:
    fill(album, 5)
    (album / "notes.txt").write_text("a note")
    await bench.ingest("album")
    before = {table: await bench.rows(f"SELECT * FROM sightline.{table}") for table in TABLES}
    again = await bench.ingest("album")
    assert (again.unchanged, again.added, again.updated, again.images) == (6, 0, 0, 0)
    after = {table: await bench.rows(f"SELECT * FROM sightline.{table}") for table in TABLES}
    assert str(after) == str(before)


async def test_the_same_bytes_under_two_names_are_one_asset(bench: Bench, album: Path) -> None:
    for name in ("a.jpg", "b.jpg", "in/c.jpg"):
        path = album / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(1))
    first = await bench.ingest("album")
    assert (first.added, first.duplicate) == (1, 2)
    assert await bench.rows("SELECT name FROM sightline.source") == [("album/a.jpg",)]
    again = await bench.ingest("album")
    assert (again.unchanged, again.duplicate) == (1, 2)


async def test_a_later_batch_knows_what_an_earlier_one_wrote(bench: Bench, album: Path) -> None:
    fill(album / "a", 70)
    fill(album / "b", 70)
    summary = await bench.ingest("album", batch_size=4, write_rows=4)
    assert (summary.added, summary.duplicate) == (70, 70)


async def test_ids_do_not_depend_on_the_order_or_on_the_run(bench: Bench, album: Path) -> None:
    paths = fill(album, 12)
    await bench.ingest("album")
    ids = sorted(await bench.rows("SELECT id, sha256 FROM sightline.asset"))
    await delete_assets(bench.database, bench.blobs, [row[0] for row in ids])
    assert sum((await bench.counts()).values()) == 0
    random.Random(1).shuffle(paths)
    await bench.ingest(*paths[:5])
    await bench.ingest(*paths[5:], batch_size=3)
    assert sorted(await bench.rows("SELECT id, sha256 FROM sightline.asset")) == ids


async def test_a_changed_sidecar_is_updated_without_decoding(bench: Bench, album: Path) -> None:
    (path,) = fill(album, 1)
    path.write_bytes(encoded(picture(0), exif=exif(taken="2020:01:01 10:00:00")))
    caption = album / "0000.txt"
    caption.write_text("an old door")
    await bench.ingest("album")
    before = await bench.rows("SELECT id, created_at FROM sightline.asset")

    caption.write_text("a new gate")
    (album / "0000.json").write_text('{"room": 7, "captured_at": "2024-05-03T17:00:00+02:00"}')
    changed = await bench.ingest("album")
    assert (changed.updated, changed.added, changed.images) == (1, 0, 0)
    query = "SELECT caption, metadata, captured_at, captured_local FROM sightline.asset"
    assert await bench.rows(query) == [
        (
            "a new gate",
            {"room": 7},
            datetime(2024, 5, 3, 15, tzinfo=UTC),
            datetime(2024, 5, 3, 17),
        )
    ]
    assert await bench.rows("SELECT text FROM sightline.content_passage") == [("a new gate",)]
    terms = {
        row[0]
        for row in await bench.rows(
            "SELECT term FROM sightline.posting JOIN sightline.content_passage ON id = passage_id"
        )
    }
    assert terms == set(analyze("a new gate").frequencies)
    assert (await bench.counts())["embedding"] == 2
    assert await bench.rows("SELECT id, created_at FROM sightline.asset") == before

    caption.unlink()
    (album / "0000.json").unlink()
    assert (await bench.ingest("album")).updated == 1
    # The time that the camera wrote holds again.
    at = datetime(2020, 1, 1, 10, tzinfo=UTC)
    assert await bench.rows(query) == [(None, {}, at, datetime(2020, 1, 1, 10))]
    assert (await bench.counts())["content_passage"] == 0
    assert (await bench.ingest("album")).unchanged == 1


async def test_a_moved_file_keeps_its_asset(bench: Bench, album: Path) -> None:
    (path,) = fill(album, 1)
    await bench.ingest("album")
    moved = album / "in" / "new.jpg"
    moved.parent.mkdir()
    path.rename(moved)
    assert (await bench.ingest("album")).updated == 1
    rows = await bench.rows(
        "SELECT s.name, s.location, a.location FROM sightline.source s JOIN sightline.asset a "
        "ON a.source_id = s.id"
    )
    assert rows == [("album/in/new.jpg", f"file:{moved}", f"file:{moved}")]


async def test_files_that_swapped_names_are_both_updated(bench: Bench, album: Path) -> None:
    one, two = fill(album, 2)
    await bench.ingest("album")
    (album / "x").write_bytes(one.read_bytes())
    two.replace(one)
    (album / "x").replace(two)
    assert (await bench.ingest("album")).updated == 2
    for location, sha256 in await bench.rows("SELECT location, sha256 FROM sightline.asset"):
        bench.blobs.read(location, sha256, name="it")
    assert (await bench.ingest("album")).unchanged == 2


async def test_a_file_with_new_bytes_replaces_its_old_source(bench: Bench, album: Path) -> None:
    one, _ = fill(album, 2)
    (album / "0000.txt").write_text("a door")
    await bench.ingest("album")
    one.write_bytes(jpeg(99))
    summary = await bench.ingest("album")
    assert (summary.replaced, summary.added, summary.unchanged) == (1, 0, 1)
    counts = await bench.counts()
    assert (counts["source"], counts["asset"], counts["content_passage"]) == (2, 2, 1)


async def test_bad_files_are_recorded_with_their_reason_and_stop_nothing(
    bench: Bench, album: Path
) -> None:
    fill(album, 2)
    whole = encoded(Image.effect_noise((200, 200), 50), "JPEG")
    bad = {
        "empty.jpg": b"",
        "half.jpg": whole[: len(whole) // 2],
        "text.png": b"this is no picture",
        "letter.docx": b"PK\x03\x04 something",
        "bomb.png": encoded(Image.new("1", (13_000, 13_000)), "PNG"),
        "large.bmp": bytes(3 << 20),
        "binary.txt": bytes(range(256)) * 4,
        "zip.zip": b"PK nothing",
    }
    for name, data in bad.items():
        (album / name).write_bytes(data)
    (album / os.fsdecode(b"caf\xe9.jpg")).write_bytes(jpeg(7))
    (album / "out.jpg").symlink_to("/etc/hostname")
    os.mkfifo(album / "pipe.jpg")
    summary = await bench.ingest("album", max_file_bytes=2 << 20)
    assert await bench.failures() == {
        "album/empty.jpg": "empty",
        "album/text.png": "not_an_image",
        "album/letter.docx": "broken",
        "album/bomb.png": "too_many_pixels",
        "album/large.bmp": "too_large",
        "album/binary.txt": "not_text",
        "album/zip.zip": "archive_broken",
        r"album/caf\xe9.jpg": "name_not_utf8",
        "album/out.jpg": "link_outside",
        "album/pipe.jpg": "not_a_file",
    }
    assert (summary.added, summary.failed) == (3, 10)
    assert summary.failures["not_an_image"].examples[0][0] == "album/text.png"
    assert summary.warnings["picture_truncated"].examples[0][0] == "album/half.jpg"
    assert not summary.nothing_ingested
    counts = await bench.counts()
    assert (counts["asset"], counts["source"]) == (3, 13)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_may_not_be_read_is_recorded(bench: Bench, album: Path) -> None:
    (path,) = fill(album, 1)
    path.chmod(0)
    summary = await bench.ingest("album")
    assert await bench.failures() == {"album/0000.jpg": "unreadable"}
    assert summary.nothing_ingested


async def test_a_failed_file_is_tried_again_and_its_failure_deleted(
    bench: Bench, album: Path
) -> None:
    (mended,) = fill(album, 1)
    whole = mended.read_bytes()
    mended.write_bytes(whole[:200])
    (album / "limited.png").write_bytes(encoded(picture(5, (300, 300)), "PNG"))
    first = await bench.ingest("album", max_pixels=50_000)
    assert (first.added, first.failed) == (0, 2)
    again = await bench.ingest("album", max_pixels=50_000)
    assert (again.added, again.failed) == (0, 2)
    assert (await bench.counts())["source"] == 2
    mended.write_bytes(whole)
    last = await bench.ingest("album")
    assert (last.added, last.failed) == (2, 0)
    assert await bench.failures() == {}


async def test_files_that_crash_or_hang_a_decoder_fail_alone(bench: Bench, album: Path) -> None:
    fill(album, 6)
    for name, color in (("crash.png", CRASH), ("hang.png", HANG)):
        (album / name).write_bytes(encoded(Image.new("RGB", (8, 8), color), "PNG"))
    # One file runs into it; on a busy machine the others must not.
    summary = await bench.ingest("album", encoder=MisbehavingEncoder(), file_timeout_seconds=8.0)
    assert summary.added == 6
    assert await bench.failures() == {"album/crash.png": "crashed", "album/hang.png": "timeout"}


async def test_bytes_of_archives_and_uploads_are_in_the_blob_store(
    bench: Bench, album: Path
) -> None:
    with zipfile.ZipFile(album / "x.zip", "w") as archive:
        archive.writestr("in/a.jpg", jpeg(1))
        archive.writestr("in/a.txt", "from a zip")
        archive.writestr("in/broken.jpg", b"nothing")
        archive.writestr("in/same.jpg", jpeg(1))
    upload = Upload("dropped.jpg", jpeg(2))
    summary = await bench.ingest("album", upload)
    assert (summary.added, summary.duplicate, summary.failed) == (2, 1, 1)
    rows = await bench.rows(
        "SELECT name, location, content_key, state FROM sightline.source ORDER BY name"
    )
    assert [(row[0], row[3]) for row in rows] == [
        ("album/x.zip/in/a.jpg", "done"),
        ("album/x.zip/in/broken.jpg", "failed"),
        ("dropped.jpg", "done"),
    ]
    assert bench.blobs.read(rows[0][1], rows[0][2], name="it") == jpeg(1)
    assert bench.blobs.read(rows[2][1], rows[2][2], name="it") == jpeg(2)
    assert len(list(bench.blobs.locations())) == 2
    again = await bench.ingest("album", upload)
    assert (again.unchanged, again.duplicate, again.failed) == (2, 1, 1)


async def test_capture_times_come_from_sidecar_then_camera(bench: Bench, album: Path) -> None:
    camera = exif(taken="2024:05:03 17:22:10", offset="+08:00")
    for seed, name in enumerate(("camera.jpg", "both.jpg", "broken.jpg")):
        (album / name).write_bytes(encoded(picture(seed), exif=camera))
    (album / "metadata.jsonl").write_text(
        '{"file_name": "both.jpg", "captured_at": "2020-01-01"}\n'
        '{"file_name": "broken.jpg", "captured_at": "long ago"}\n'
    )
    summary = await bench.ingest("album")
    assert summary.warnings["sidecar_broken"].count == 1
    rows = await bench.rows(
        "SELECT name, captured_at, captured_local FROM sightline.asset a JOIN sightline.source s "
        "ON s.id = source_id"
    )
    taken = (datetime(2024, 5, 3, 9, 22, 10, tzinfo=UTC), datetime(2024, 5, 3, 17, 22, 10))
    assert {row[0]: row[1:] for row in rows} == {
        "album/camera.jpg": taken,
        "album/both.jpg": (datetime(2020, 1, 1, tzinfo=UTC), None),
        "album/broken.jpg": taken,
    }


async def test_progress_reaches_the_total_and_the_summary_has_stage_times(
    bench: Bench, album: Path
) -> None:
    fill(album, 20)
    (album / "bad.jpg").write_bytes(b"")
    summary = await bench.ingest("album", batch_size=4, write_rows=4)
    last = bench.progress[-1]
    assert (last.stage, last.total, last.done, last.added, last.failed) == ("done", 21, 21, 20, 1)
    done = [progress.done for progress in bench.progress]
    assert done == sorted(done)
    plain = summary.as_json()
    assert plain["added"] == 20
    assert plain["failures"]["empty"]["examples"][0]["name"] == "album/bad.jpg"
    assert set(plain["stages"]) >= {"discover", "decode", "encode", "write", "index"}
    assert plain["peak_rss_mib"] > 1
    assert plain["worker_peak_rss_mib"] > 1


async def test_another_encoder_is_refused_with_both_names(bench: Bench, album: Path) -> None:
    class Other(ColorHistogramEncoder):
        @property
        def identity(self) -> EncoderIdentity:
            return EncoderIdentity("other-encoder", "0" * 16, "1" * 16, 48)

    fill(album, 2)
    await bench.ingest("album")
    with pytest.raises(SpaceMismatchError, match=r"test-color-histogram.*other-encoder"):
        await bench.ingest("album", encoder=Other())
    assert (await bench.counts())["asset"] == 2
    spaces = await bench.rows("SELECT DISTINCT encoder FROM sightline.embedding_space")
    assert spaces == [(bench.encoder.identity.name,)]


async def test_paths_without_a_match_stop_before_a_collection_is_created(bench: Bench) -> None:
    with pytest.raises(InvalidArgumentError, match="no file, folder or match for 'nowhere'"):
        await bench.ingest("nowhere")
    assert await bench.rows("SELECT * FROM sightline.collection") == []


async def test_an_empty_folder_is_no_error(bench: Bench, album: Path) -> None:
    summary = await bench.ingest("album")
    assert summary.nothing_ingested
    assert summary.failed == 0
