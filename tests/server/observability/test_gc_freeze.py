"""What a server keeps for good is left out of garbage collection, and only while it runs."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path

from sightline.server.observability.gc_freeze import freeze_when_ready, gc_paused


async def test_what_is_there_once_all_is_open_is_left_out_until_the_end() -> None:
    there = gc.get_freeze_count()
    opened = asyncio.Event()

    async def open_() -> None:
        await opened.wait()

    async with freeze_when_ready(open_):
        assert gc.get_freeze_count() == there
        opened.set()
        for _ in range(5):  # rounds of the loop: the event, the one who waits for it, and some
            await asyncio.sleep(0)
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0


async def test_a_server_that_ends_before_all_is_open_waits_for_nothing() -> None:
    async with asyncio.timeout(60):
        async with freeze_when_ready(asyncio.Event().wait):
            pass


def test_nothing_is_collected_while_what_stays_is_made() -> None:
    there = gc.get_freeze_count()
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > there
    gc.unfreeze()


def test_a_server_is_imported_without_walks_over_what_it_has_imported(tmp_path: Path) -> None:
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
    # It is wrong on purpose: that is noticed when everything is imported.
    environment = {**os.environ, "SIGHTLINE_DATA_DIR": str(tmp_path), "SIGHTLINE_HTTP_PORT": "x"}
    said = subprocess.run(
        [sys.executable, "-c", watched], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["collecting", "False", "ended", "2", "True"]
