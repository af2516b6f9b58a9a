"""A process that cannot reach the model hub, and has nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def failure(program: str, folder: Path) -> str:
    """What a Python program says on stderr; its first argument is ``folder``.

    A process of its own: the hub's client reads its switch when it is imported.
    """
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "empty")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stderr
