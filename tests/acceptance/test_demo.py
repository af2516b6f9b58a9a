"""`sightline demo --once` works in an empty HOME."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

_SIGHTLINE = Path(sys.executable).with_name("sightline")
_TOOLS = [
    "list_collections",
    "search_images",
    "search_text",
    "answer_question",
    "annotate_image",
    "view_image",
    "add_images",
    "delete_assets",
]


def _demo(home: Path, hidden: Path) -> str:
    """Run the demo where the packages in ``hidden`` cannot be imported."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    done = subprocess.run(
        [_SIGHTLINE, "demo", "--once"],
        env={**kept, "HOME": str(home), "SIGHTLINE_HTTP__PORT": "0", "PYTHONPATH": str(hidden)},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_demo_calls_each_tool_without_torch_and_can_run_again(tmp_path: Path) -> None:
    hidden, home = tmp_path / "hidden", tmp_path / "home"
    hidden.mkdir()
    home.mkdir()
    for package in ("torch", "torchvision", "transformers", "open_clip"):
        (hidden / f"{package}.py").write_text("raise ModuleNotFoundError(__name__)")
    said = _demo(home, hidden)
    assert [tool for tool in _TOOLS if f"> {tool} " not in said] == []
    by_words = said.split("\nText query\n")[1].split("\n\n")[0]
    first = next(line for line in by_words.splitlines() if line.strip().startswith("[1]"))
    assert "red bus" in first
    # The captions are English, so only the encoder can find this.
    in_chinese = said.split("\nChinese query\n")[1].split("\n\n")[0]
    hits = [line for line in in_chinese.splitlines() if re.match(r"\s+\[[123]\]", line)]
    assert len(hits) == 3
    assert all("blue bus" in hit for hit in hits)

    (page,) = home.rglob("tour.html")
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page.read_text("utf-8"))
    assert len(pictures) > 20
    for each in pictures:
        Image.open(io.BytesIO(base64.b64decode(each))).verify()

    again = _demo(home, hidden)
    assert re.search(r"\d+ unchanged", again)
    assert " added" not in again.split("images and")[0]
