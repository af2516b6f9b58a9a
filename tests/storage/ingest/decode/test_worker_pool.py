import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sightline.server.models.image_text.preprocess import Preprocess
from sightline.storage.errors import ConfigurationError, MediaError
from sightline.storage.ingest.decode.worker.worker_protocol import Frame, Header
from sightline.storage.ingest.decode.worker_pool import Job, Pool
from tests.support import misbehaving
from tests.support.pictures import encoded, jpeg

LIMITS = {
    "max_file_bytes": 1 << 20,
    "max_text_bytes": 1 << 16,
    "max_pixels": 1_000_000,
    "memory_mib": 2048,
}
Outcomes = dict[str, str]


async def outcomes(
    preprocess: Callable[[Image.Image], Any], files: dict[str, bytes], deadline: float = 60
) -> Outcomes:
    """What becomes of files that one worker is given all at once, in the order it says so."""
    results: Outcomes = {}

    def job(name: str, data: bytes) -> Job:
        async def part(_: Frame) -> None:
            pass

        async def done(header: Header) -> None:
            results[name] = str(header["kind"])

        async def failed(error: MediaError, _: Header) -> None:
            results[name] = f"{error.code}: {error}"

        header = {"job": "read", "name": name, "path": None, "sha256": "", "stamp": None}
        return Job({**header, "look_only": False}, [data], part, done, failed)

    waiting = [job(name, data) for name, data in files.items()]

    async def take() -> list[Job]:
        taken = waiting[:]
        waiting.clear()
        return taken

    await Pool(preprocess, LIMITS, deadline).run(take)
    return results


def plain(colour: tuple[int, int, int]) -> bytes:
    return encoded(Image.new("RGB", (8, 8), colour), "PNG")


@pytest.mark.parametrize(
    ("colour", "said", "deadline"),
    [
        (misbehaving.CRASH, r"crashed: crashed the process that decoded it \(signal 11\)", 60),
        # Short, for the test waits it out; long enough for the files beside it on a busy machine.
        (misbehaving.HANG, r"timeout: took longer than 8 s to read", 8),
        (misbehaving.HOG, r"out_of_memory: needs over 2048 MiB", 60),
    ],
    ids=["crash", "hang", "hog"],
)
async def test_what_a_file_does_to_its_worker_fails_that_file_alone(
    colour: tuple[int, int, int], said: str, deadline: float
) -> None:
    files = {"a.jpg": jpeg(1), "bad.png": plain(colour), "b.jpg": jpeg(2), "c.jpg": jpeg(3)}
    got = await outcomes(misbehaving.obey_the_colour, files, deadline)
    assert re.fullmatch(said, got.pop("bad.png"))
    assert got == {"a.jpg": "image", "b.jpg": "image", "c.jpg": "image"}


async def test_files_that_all_crash_all_fail() -> None:
    files = {f"{n}.png": plain(misbehaving.CRASH) for n in range(3)}
    got = await outcomes(misbehaving.obey_the_colour, files)
    assert [said.split(":")[0] for said in got.values()] == ["crashed"] * 3


async def test_workers_load_no_models_and_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    (said,) = (await outcomes(misbehaving.imported_modules, {"a.jpg": jpeg(1)})).values()
    loaded = set(said.split())
    assert "PIL" in loaded
    assert not loaded & {"torch", "llama_index", "psycopg", "transformers", "onnxruntime", "mcp"}


async def test_the_shipped_preprocessing_loads_no_models_either() -> None:
    got = await outcomes(Preprocess(height=64, width=64), {"a.jpg": jpeg(1)})
    assert got == {"a.jpg": "image"}
    got = await outcomes(_ShippedThenTell(), {"a.jpg": jpeg(1)})
    assert not set(got["a.jpg"].split()) & {"torch", "llama_index", "psycopg", "transformers"}


class _ShippedThenTell:
    """Uses the shipped preprocessing, then says what that loaded."""

    def __call__(self, image: Image.Image) -> Any:
        Preprocess(height=64, width=64)(image)
        return misbehaving.imported_modules(image)


async def test_workers_do_not_see_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    (said,) = (await outcomes(misbehaving.environment, {"a.jpg": jpeg(1)})).values()
    assert "PATH" in said
    assert "SIGHTLINE" not in said
    assert "KEY" not in said


async def test_modules_in_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("import os; os._exit(7)")
    monkeypatch.chdir(tmp_path)
    got = await outcomes(Preprocess(height=64, width=64), {"a.jpg": jpeg(1)})
    assert got == {"a.jpg": "image"}


async def test_a_preprocessing_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot be sent to worker processes"):
        Pool(lambda image: image, LIMITS, 1)  # type: ignore[arg-type,return-value]


class _BreaksOnArrival:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.listdir, ("/nothing/here",)


async def test_a_worker_that_does_not_start_stops_everything_and_says_why() -> None:
    with pytest.raises(ConfigurationError, match="/nothing/here"):
        await outcomes(_BreaksOnArrival(), {"a.jpg": jpeg(1)})  # type: ignore[arg-type]
