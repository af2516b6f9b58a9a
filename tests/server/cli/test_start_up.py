"""What a command loads before it answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Each takes a second or more to import, or hundreds of megabytes.
_SLOW = {"torch", "transformers", "open_clip", "llama_index", "scipy", "cv2", "rapidocr", "nltk"}
_PROGRAM = """
import sys
from sightline.server.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("loaded:", *sorted(name for name in sys.modules if "." not in name))
"""


@pytest.mark.parametrize("command", [["search", "a red van"], ["search", "--text", "total"]])
def test_a_search_loads_no_slow_library(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *command],
        env={**os.environ, "SIGHTLINE_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert "onnxruntime" in loaded  # the search ran
    assert _SLOW.intersection(loaded) == set()
