"""A collection follows a folder: renames, deletions, half-written files, outages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from PIL import Image

from sightline.server.cli import main
from sightline.server.cli.cli_context import open_dependencies
from sightline.server.cli.library.watch_command import FolderWatch
from sightline.server.config import Settings, load_settings
from sightline.server.database import schema_migration
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.postgres import EmbeddedPostgres

Configure = Callable[[str], Settings]


@pytest.fixture
def configure(
    random_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Configure:
    """Set the environment for a database, and return the settings."""

    def configure(dsn: str) -> Settings:
        for name, value in {
            "DATA_DIR": str(tmp_path / "data"),
            "DATABASE__URL": dsn,
            "ENCODER__MODEL": f"local-dir:{random_encoder_folder}",
            "ENCODER__DEVICE": "cpu",
            "INGEST__OCR": "off",
            "INGEST__WORKERS": "1",
        }.items():
            monkeypatch.setenv(f"SIGHTLINE_{name}", value)
        return load_settings()

    return configure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@asynccontextmanager
async def watching(settings: Settings, folder: Path) -> AsyncIterator[FolderWatch]:
    async with open_dependencies(settings) as deps:
        yield FolderWatch(deps, InputPath("pictures", str(folder)), "album")


def picture(path: Path, number: int) -> None:
    color = (number % 256, number // 256 % 256, 7 * number % 256)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 8), color).save(path)


def remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


def make_folder(path: Path) -> None:
    path.mkdir()


def move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


def stored(dsn: str) -> dict[str, tuple[str, str, str]]:
    """Return asset id, caption and the transaction of the vector of each file."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT source.name, asset.id, coalesce(asset.caption, ''), embedding.xmin::text "
            "FROM sightline.asset JOIN sightline.source ON source.id = source_id "
            "JOIN sightline.embedding ON asset_id = asset.id AND passage_id IS NULL"
        )
        return {name: (id_, caption, xmin) for name, id_, caption, xmin in rows}


def failed(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT name FROM sightline.source WHERE state = 'failed'")
        return [name for (name,) in rows]


@pytest.mark.parametrize("count", [20, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_a_collection_follows_its_folder(
    count: int,
    folder: Path,
    database_dsn: str,
    configure: Configure,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said() -> str:
        output = capsys.readouterr()
        return output.out + output.err

    async with watching(configure(database_dsn), folder) as watch:
        # Many files at once.
        for number in range(count):
            picture(folder / f"{number:04d}.png", number)
        await watch.step()
        assert stored(database_dsn) == {}
        await watch.step()
        first = stored(database_dsn)
        assert len(first) == count
        assert said() == f"album: {count:,} added\n"

        # A half-written file is left alone until it is complete.
        picture(folder / "complete.png", 99_999)
        content = (folder / "complete.png").read_bytes()
        remove(folder / "complete.png")
        with (folder / "slow.png").open("wb") as file:
            for part in (content[:20], content[20:40], content[40:]):
                file.write(part)
                file.flush()
                await watch.step()
                assert len(stored(database_dsn)) == count
        await watch.step()
        assert len(stored(database_dsn)) == count + 1
        assert failed(database_dsn) == []
        assert said() == "album: 1 added\n"

        # Renames, deletions, and editors that replace a file.
        for number in range(5):
            move(folder / f"{number:04d}.png", folder / "moved" / f"to {number}.png")
        for number in range(5, 8):
            remove(folder / f"{number:04d}.png")
        kept = (folder / "0009.png").read_bytes()
        remove(folder / "0009.png")
        picture(folder / "0010.png.tmp.png", 77_777)
        await watch.step()
        (folder / "0009.png").write_bytes(kept)
        move(folder / "0010.png.tmp.png", folder / "0010.png")
        await watch.step()
        await watch.step()
        assert "replaced" in said()
        now = stored(database_dsn)
        assert len(now) == count + 1 - 3
        for number in range(5):  # the same assets, not encoded again
            assert now[f"pictures/moved/to {number}.png"] == first[f"pictures/{number:04d}.png"]
        assert now["pictures/0009.png"] == first["pictures/0009.png"]
        assert now["pictures/0010.png"][0] != first["pictures/0010.png"][0]

        # A table of captions describes files that did not change.
        (folder / "captions.csv").write_text("file,caption\n0011.png,a blue square\n")
        await watch.step()
        await watch.step()
        before, after = now["pictures/0011.png"], stored(database_dsn)["pictures/0011.png"]
        assert (before[0], after[1], after[2]) == (after[0], "a blue square", before[2])
        assert said() == "album: 1 updated\n"

        # A folder that is gone for a while, as with its disk, is no deletion.
        away = folder.with_name("away")
        move(folder, away)
        await watch.step()
        await watch.step()
        assert said().count("cannot be read: No such file or directory. Trying again") == 1
        make_folder(folder)  # the mount point
        for _ in range(3):
            await watch.step()
        assert len(stored(database_dsn)) == len(now)
        assert "is empty; is its disk mounted?" in said()
        picture(folder / "stray.png", 65_000)
        await watch.step()
        await watch.step()
        remove(folder / "stray.png")
        await watch.step()
        await watch.step()
        assert len(stored(database_dsn)) == len(now) + 1
        remove(folder)
        move(away, folder)
        for _ in range(2):
            await watch.step()
        assert stored(database_dsn).keys() - {"pictures/stray.png"} == now.keys()

        # At last all files of a folder that is still there.
        for number in range(5):
            remove(folder / "moved" / f"to {number}.png")
        for _ in range(2):
            await watch.step()
        assert len(stored(database_dsn)) == len(now) - 5
        assert "6 forgotten" in said()  # with the stray one


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Return a folder with a short path, in which a socket fits."""
    with tempfile.TemporaryDirectory(prefix="sightline-watch-") as name:
        yield Path(name)


async def test_a_watch_goes_on_after_the_database_restarted(
    folder: Path, short_folder: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    postgres = EmbeddedPostgres(short_folder, durable=False)
    dsn = postgres.dsn()
    schema_migration.upgrade(dsn)
    async with watching(configure(dsn), folder) as watch:
        picture(folder / "a.png", 1)
        await watch.step()
        await watch.step()
        picture(folder / "b.png", 2)
        remove(folder / "a.png")
        await watch.step()
        postgres.close()
        waits = [await watch.step(), await watch.step()]
        assert waits[1] > waits[0]
        with EmbeddedPostgres(short_folder, durable=False) as again:
            assert again.dsn() == dsn
            await watch.step()
            assert list(stored(dsn)) == ["pictures/b.png"]
    output = capsys.readouterr()
    assert output.err.count("The database cannot be reached") == 1
    assert "It works again." in output.err
    assert "1 added, 1 forgotten" in output.out


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_cleanly(
    signal_number: signal.Signals, folder: Path, database_dsn: str, configure: Configure
) -> None:
    configure(database_dsn)
    picture(folder / "a.png", 1)
    program = "import sys; from sightline.server.cli import main; sys.exit(main())"
    command = ["watch", str(folder), "--collection", "album", "--interval", "0.1", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line == {
            "collection": "album", "added": 1, "replaced": 0, "updated": 0, "failed": 0,
            "forgotten": 0, "kept": 0,
        }  # fmt: skip
        process.send_signal(signal_number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert errors.splitlines()[-1] == "Stopped."
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["no-such-folder"], "is not a folder"), ([".", "--interval", "0"], "use 0.1 or more")],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *arguments]) == 2
    assert message in capsys.readouterr().err
