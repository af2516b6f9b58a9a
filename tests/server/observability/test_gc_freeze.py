"""Tests of excluding long-lived objects from garbage collection."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path

from sightline.server.observability.gc_freeze import freeze_when_ready, gc_paused


async def test_objects_are_frozen_from_readiness_until_the_end() -> None:
    before = gc.get_freeze_count()
    opened = asyncio.Event()

    async def open_() -> None:
        await opened.wait()

    async with freeze_when_ready(open_):
        assert gc.get_freeze_count() == before
        opened.set()
        for _ in range(5):  # let the waiting tasks run
            await asyncio.sleep(0)
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0


async def test_the_end_does_not_wait_for_readiness() -> None:
    async with asyncio.timeout(60):
        async with freeze_when_ready(asyncio.Event().wait):
            pass


def test_gc_is_paused_and_objects_are_frozen_afterwards() -> None:
    before = gc.get_freeze_count()
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    gc.unfreeze()


def test_gc_is_paused_while_the_server_is_imported(tmp_path: Path) -> None:
    watched = """
import gc, sys
class Watch:
    def find_spec(self, name, *_):
        if name == "sightline.server.app":
            print("collecting", gc.isenabled())
sys.meta_path.insert(0, Watch())
from sightline.server.cli import main
ended = main(["serve"])
print("ended", ended, gc.isenabled())
"""
    # The invalid port stops the command after all imports.
    environment = {**os.environ, "SIGHTLINE_DATA_DIR": str(tmp_path), "SIGHTLINE_HTTP__PORT": "x"}
    result = subprocess.run(
        [sys.executable, "-c", watched], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["collecting", "False", "ended", "2", "True"]
