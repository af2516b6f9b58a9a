import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sightline.server.models.image_text.preprocess import Preprocess
from sightline.storage.errors import ConfigurationError, MediaError, describe
from sightline.storage.ingest.decode.worker.worker_protocol import (
    DecodeRequest,
    JobPart,
    PartWarning,
    ProtocolError,
    SourceInfo,
)
from sightline.storage.ingest.decode.worker_pool import Job, WorkerPool
from sightline.storage.ingest.decode.worker_process import parse_message
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support import faulty_preprocessing
from tests.support.sample_images import encoded, jpeg

LIMITS = IngestOptions(
    max_file_bytes=1 << 20, max_text_bytes=1 << 16, max_pixels=1_000_000, worker_memory_mib=2048
)
Outcomes = dict[str, str]


async def outcomes(
    preprocess: Callable[[Image.Image], Any], files: dict[str, bytes], deadline: float = 60
) -> Outcomes:
    """Return the outcome of each file after one worker got all of them at once."""
    results: Outcomes = {}

    def job(name: str, data: bytes) -> Job:
        async def on_part(part: JobPart) -> None:
            if isinstance(part, SourceInfo):
                results[name] = part.kind

        async def on_done() -> None:
            assert name in results

        async def on_failed(error: MediaError) -> None:
            results[name] = f"{error.code}: {error}"

        return Job(DecodeRequest(name, data=data), on_part, on_done, on_failed)

    waiting = [job(name, data) for name, data in files.items()]

    async def take() -> list[Job]:
        taken = waiting[:]
        waiting.clear()
        return taken

    await WorkerPool(preprocess, replace(LIMITS, file_timeout_seconds=deadline)).run(take)
    return results


def plain(color: tuple[int, int, int]) -> bytes:
    return encoded(Image.new("RGB", (8, 8), color), "PNG")


@pytest.mark.parametrize(
    ("color", "outcome", "deadline"),
    [
        (faulty_preprocessing.CRASH, r"crashed: crashed its decoder process \(signal 11\)", 60),
        # Short because the test waits for it; long enough for the other files on a busy machine.
        (faulty_preprocessing.HANG, r"timeout: took longer than 8 s to decode", 8),
        (faulty_preprocessing.HOG, r"out_of_memory: needs more than 2048 MiB", 60),
    ],
    ids=["crash", "hang", "hog"],
)
async def test_a_file_that_breaks_its_worker_fails_alone(
    color: tuple[int, int, int], outcome: str, deadline: float
) -> None:
    files = {"a.jpg": jpeg(1), "bad.png": plain(color), "b.jpg": jpeg(2), "c.jpg": jpeg(3)}
    got = await outcomes(faulty_preprocessing.obey_the_colour, files, deadline)
    assert re.fullmatch(outcome, got.pop("bad.png"))
    assert got == {"a.jpg": "image", "b.jpg": "image", "c.jpg": "image"}


async def test_files_that_all_crash_all_fail() -> None:
    files = {f"{n}.png": plain(faulty_preprocessing.CRASH) for n in range(3)}
    got = await outcomes(faulty_preprocessing.obey_the_colour, files)
    assert [outcome.split(":")[0] for outcome in got.values()] == ["crashed"] * 3


async def test_workers_load_no_models_database_or_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    (outcome,) = (
        await outcomes(faulty_preprocessing.imported_modules, {"a.jpg": jpeg(1)})
    ).values()
    loaded = set(outcome.split())
    assert "PIL" in loaded
    assert not loaded & {
        "torch",
        "llama_index",
        "psycopg",
        "transformers",
        "onnxruntime",
        "mcp",
        "pydantic",
    }


async def test_the_shipped_preprocessing_loads_no_models() -> None:
    got = await outcomes(Preprocess(height=64, width=64), {"a.jpg": jpeg(1)})
    assert got == {"a.jpg": "image"}
    got = await outcomes(_PreprocessThenListModules(), {"a.jpg": jpeg(1)})
    assert not set(got["a.jpg"].split()) & {"torch", "llama_index", "psycopg", "transformers"}


class _PreprocessThenListModules:
    """Use the shipped preprocessing, then list the loaded modules."""

    def __call__(self, image: Image.Image) -> Any:
        Preprocess(height=64, width=64)(image)
        return faulty_preprocessing.imported_modules(image)


async def test_workers_do_not_see_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    (outcome,) = (await outcomes(faulty_preprocessing.environment, {"a.jpg": jpeg(1)})).values()
    assert "PATH" in outcome
    assert "SIGHTLINE" not in outcome
    assert "KEY" not in outcome


async def test_modules_in_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("import os; os._exit(7)")
    monkeypatch.chdir(tmp_path)
    got = await outcomes(Preprocess(height=64, width=64), {"a.jpg": jpeg(1)})
    assert got == {"a.jpg": "image"}


async def test_a_preprocessing_that_cannot_be_pickled_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="cannot be sent to worker processes"):
        WorkerPool(lambda image: image, LIMITS)  # type: ignore[arg-type,return-value]


class _BreaksOnUnpickling:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.listdir, ("/nothing/here",)


async def test_a_worker_that_does_not_start_stops_the_ingest_and_tells_the_operator_why() -> None:
    with pytest.raises(ConfigurationError) as raised:
        await outcomes(_BreaksOnUnpickling(), {"a.jpg": jpeg(1)})  # type: ignore[arg-type]
    assert str(raised.value) == "a decoder process does not start"
    assert "/nothing/here" in describe(raised.value)


END = {"type": "JobEnd", "seconds": 1.0, "stage_seconds": {}, "peak_rss_kib": 1}
TILE = {"type": "TilePart", "asset": 0, "ordinal": 0, "shape": [1, 1, 3], "pixels": b"abc"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"type": "unknown"},
        {"type": ["JobEnd"]},
        {**END, "unknown": 1},
        {"type": "JobEnd"},
        {**END, "seconds": "long"},
        {**END, "stage_seconds": [1]},
        {**TILE, "box": [0, 0, 1]},
        {**TILE, "box": [0, 0, 1, "x"]},
        {**TILE, "box": [0, 0, 1, 1], "shape": [1, 1]},
        {"type": "TextLines", "kind": "person", "asset": 0, "lines": []},
        {"type": "TextLines", "kind": "ocr", "asset": 0, "lines": [["text", [0, 0, 1, 1]]]},
        {"type": "TextPassages", "kind": "row", "passages": [{"chars": [0, 1]}]},
        {"type": "TextPassages", "kind": "row", "passages": [{"text": "a", "chars": [0]}]},
        {"type": "SourceInfo", "kind": "program", "sha256": "", "size": 1, "mime_type": None},
    ],
    ids=str,
)
def test_invalid_worker_messages_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="invalid message"):
        parse_message(values)


def test_worker_messages_contain_no_characters_that_postgres_refuses() -> None:
    values = {"type": "PartWarning", "code": "a\0b", "reason": "\ud800"}
    assert parse_message(values) == PartWarning(code="ab", reason="?")
