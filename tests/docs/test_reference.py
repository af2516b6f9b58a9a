"""The generated reference pages match the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pages_of_commands_and_tools_are_up_to_date() -> None:
    program = (
        "import runpy; pages = runpy.run_path('docs/build_reference.py');"
        "stale = [name for name, build in pages['PAGES'].items()"
        " if (pages['REFERENCE'] / name).read_text(encoding='utf-8') != build()];"
        "print(stale)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", "run: make reference"
