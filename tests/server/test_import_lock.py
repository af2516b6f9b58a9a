"""What a server opens side by side is imported by one thread at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Two threads that import at once take turns every few milliseconds, for seconds.
_OPEN_AT_ONCE = """
import sys, threading
from sightline.server import databases, searches

class Watch:
    threads = []

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("alembic", "llama_index", "sqlalchemy"):
            self.threads.append(threading.get_ident())

sys.meta_path.insert(0, Watch())
start = threading.Barrier(2)

def check_database():
    try:
        databases._check("host=/nowhere")
    except Exception as error:
        assert "cannot be reached" in str(error), error

def run(work):
    start.wait()
    work()

works = [searches._import_searches, check_database]
threads = [threading.Thread(target=run, args=[work]) for work in works]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(a != b for a, b in zip(Watch.threads, Watch.threads[1:])), len(Watch.threads))
"""


def test_search_and_database_import_one_after_the_other(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _OPEN_AT_ONCE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    turns, imports = map(int, done.stdout.split())
    assert turns <= 1
    assert imports > 100
