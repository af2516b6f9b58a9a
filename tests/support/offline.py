"""Runs a program without network access and with an empty model cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_failing_program(program: str, folder: Path) -> str:
    """Run a Python program with ``folder`` as argument and return its stderr.

    It needs its own process: the hub client reads HF_HUB_OFFLINE at import.
    """
    process = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "empty")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return process.stderr
