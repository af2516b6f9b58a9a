"""What a server opens side by side is imported by one thread at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_OPEN_AT_ONCE = """
import sys, threading
from pathlib import Path
from sightline.server import databases, runtime
from sightline.server.settings import load

failures = []
start = threading.Barrier(2)

def run(work):
    start.wait()
    try:
        work()
    except ImportError as error:
        failures.append(error)
    except Exception:
        pass  # nobody listens at that address, and this is about imports

threads = [
    threading.Thread(target=run, args=[runtime._import_searches]),
    threading.Thread(target=run, args=[lambda: databases._check("host=/nowhere")]),
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("; ".join(map(str, failures)) or 0)
"""


@pytest.mark.parametrize("attempt", range(3))
def test_search_and_database_open_side_by_side(attempt: int, tmp_path: Path) -> None:
    del attempt  # two threads met in the wrong place about every second time
    done = subprocess.run(
        [sys.executable, "-c", _OPEN_AT_ONCE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
