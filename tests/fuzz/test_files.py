"""Each damaged file is ingested or reported, and nothing else happens."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.image_decoder import ImageDecoder
from sightline.storage.ingest.discover.input_paths import Upload
from sightline.storage.ingest.discover.sidecars import parse_mapping
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestSummary
from sightline.storage.maintenance.integrity_check import check
from tests.fuzz.inputs import TEXTS, archives, few_and_many, mutants, seeds
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import jpeg

_AT_ONCE = 400
_CODE = re.compile(r"[a-z0-9_]{2,40}")
#: Reasons that the run survives, but that indicate a bug.
_DEATHS = {"timeout", "crashed", "out_of_memory"}
#: Time limit of one file: enough for a busy machine, and short enough to detect a hang.
_SECONDS = 30.0


async def take(database: Database, data: Path, given: list[Upload | Path]) -> IngestSummary:
    encoder = ColorHistogramEncoder()
    options = IngestOptions(
        workers=1,
        file_timeout_seconds=_SECONDS,
        worker_memory_mib=1024,
        max_pixels=4_000_000,
        max_file_bytes=16 << 20,
    )
    store = BlobStore(data)
    return await ingest(
        database,
        store,
        encoder,
        given,
        collection="fuzz",
        options=options,
        passage_encoder=encoder,
    )


def accounted(summary: IngestSummary) -> int:
    """Count processed files; check that each failure has a code and a reason."""
    for code, noted in (*summary.failures.items(), *summary.warnings.items()):
        assert _CODE.fullmatch(code), code
        for name, reason in noted.examples:
            assert "Traceback" not in reason
            assert len(reason) < 2_000, (name, reason[:200])
    assert not _DEATHS & summary.failures.keys(), summary.failures
    return (
        summary.added
        + summary.replaced
        + summary.updated
        + summary.unchanged
        + summary.duplicate
        + summary.failed
    )


async def errors(database: Database, data: Path) -> list[str]:
    return [f.code for f in await check(database, BlobStore(data)) if f.severity == "error"]


@few_and_many(80)
async def test_damaged_files_are_ingested_or_reported(
    database: Database, tmp_path: Path, count: int
) -> None:
    uploads = [Upload(name, data) for name, data in mutants(seeds(), count, seed=1)]
    for start in range(0, count, _AT_ONCE):
        some = uploads[start : start + _AT_ONCE]
        assert accounted(await take(database, tmp_path, list(some))) == len(some)
    assert await errors(database, tmp_path) == []


@few_and_many(12)
async def test_damaged_archives_are_ingested_or_reported(
    database: Database, tmp_path: Path, count: int
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in mutants(archives(), count, seed=2):
        (folder / name).write_bytes(data)
    summary = await take(database, tmp_path / "data", [folder])
    assert accounted(summary) >= count * 3 // 4  # an archive without members is not an error
    assert await errors(database, tmp_path / "data") == []
    assert sorted(folder.iterdir()) == sorted(folder / n for n, _ in mutants(archives(), count, 2))


@few_and_many(24)
async def test_damaged_tables_and_captions_lose_only_their_content(
    database: Database, tmp_path: Path, count: int
) -> None:
    """Each folder has an image and a damaged metadata file, table, caption or subtitle."""
    said = {
        "metadata.jsonl": b'{"file_name": "0.jpg", "text": "said", "n": {"deep": [1]}}\n' * 3,
        "metadata.csv": b'file_name,text,price\n0.jpg,"said, so",3\n',
        "captions.csv": b"0.jpg,a caption\n",
        "0.txt": "a caption 中文".encode(),
        "0.json": b'{"caption": "c", "captured_at": "2026-05-01T16:40:00+02:00", "n": 1e5}',
    }
    for number, (name, data) in enumerate(mutants(said, count, seed=3)):
        place = tmp_path / "folder" / f"{number:05}"
        place.mkdir(parents=True)
        (place / "0.jpg").write_bytes(jpeg(number))
        (place / name.partition("-")[2]).write_bytes(data)
    summary = await take(database, tmp_path / "data", [tmp_path / "folder"])
    assert accounted(summary) >= count
    assert summary.added >= count
    assert await errors(database, tmp_path / "data") == []


async def test_hostile_text_in_every_field_is_stored_or_refused(
    database: Database, tmp_path: Path
) -> None:
    given: list[Upload | Path] = []
    refused = 0
    for number, text in enumerate(TEXTS):
        for key in ("caption", "captured_at", "metadata"):
            value = {text[:200]: text, "tags": [text]} if key == "metadata" else text
            try:
                sidecar = parse_mapping({key: value})
            except ValueError:
                refused += 1
                continue
            given.append(Upload(f"{key}-{number}.jpg", jpeg(3 * number + len(key)), sidecar))
        given.append(Upload(f"text-{number}.md", text.encode("utf-8", "surrogatepass")))
        given.append(Upload(f"{text[:200]}.jpg", jpeg(1_000 + number)))
    assert refused < len(TEXTS)
    assert accounted(await take(database, tmp_path, given)) == len(given)
    assert await errors(database, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_caption_of_ten_megabytes_does_not_hang(database: Database, tmp_path: Path) -> None:
    for unit in ("word ", "中", "a", "\u200b", "e\u0301"):
        text = unit * (10_000_000 // len(unit.encode()))
        uploads = [Upload("long.txt", text.encode()), Upload("long.csv", b"a,b\n" + text.encode())]
        assert accounted(await take(database, tmp_path, list(uploads))) == 2


@few_and_many(40)
async def test_damaged_images_in_calls_are_shown_or_refused(count: int) -> None:
    pictures = {name: data for name, data in seeds().items() if name < "h"}
    opened, codes = 0, dict[str, str]()
    async with AsyncExitStack() as stack:
        decoder = ImageDecoder(
            max_pixels=10**6, memory_mib=1024, timeout_seconds=_SECONDS, workers=1
        )
        stack.push_async_callback(decoder.close)
        for name, data in mutants(pictures, count, seed=4):
            try:
                async with asyncio.timeout(2 * _SECONDS):
                    opened += (await decoder.load(data)).image.mode == "RGB"
            except MediaError as error:
                codes[error.code] = name
    assert 0 < opened < count
    assert not _DEATHS & codes.keys(), codes


def test_mutations_are_deterministic_and_distinct() -> None:
    first, second = (list(mutants(seeds(), 200, seed=1)) for _ in range(2))
    if first != second:
        pytest.fail("the mutations depend on more than their seed")
    assert len({data for _, data in first}) > 150
