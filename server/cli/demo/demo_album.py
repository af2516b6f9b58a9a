"""Synthetic images of the demo, drawn once into the data folder."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

COLLECTION = "demo"
USER_COLLECTION = "my-images"

_IMAGES = 180
_SEED = 7
#: Ground truth files of the export, which are not ingested.
_GROUND_TRUTH = ("questions.jsonl", "instances.json")


@dataclass(frozen=True, slots=True)
class DemoAlbum:
    """The demo images. ``part_number`` is written on one of the drawings."""

    folder: Path
    part_number: str

    def questions(self, file_name: str) -> dict[str, tuple[str, str]]:
        """Return one English question of each kind about an image, and its answer."""
        by_kind: dict[str, tuple[str, str]] = {}
        with self.folder.with_name("questions.jsonl").open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row["file_name"].endswith(file_name) and row["language"] == "en":
                    by_kind.setdefault(row["kind"], (row["question"], row["answer"]))
        return by_kind


def draw_demo_album(data_dir: Path) -> DemoAlbum:
    """Return the demo images in the data folder; draw them if they are missing.

    They are from the test split, which was not used to train the built-in models.
    """
    folder = data_dir / "demo" / "album"
    if not folder.is_dir():
        from sightline.training.world.export import export

        temporary = folder.with_name("drawn")
        shutil.rmtree(temporary, ignore_errors=True)  # left by an interrupted run
        export(temporary, split="test", count=_IMAGES, seed=_SEED, workers=2)
        for name in _GROUND_TRUTH:
            (temporary / name).replace(folder.with_name(name))
        temporary.rename(folder)
    with (folder / "metadata.jsonl").open(encoding="utf-8") as lines:
        captions = [json.loads(line)["caption"] for line in lines if '"family": "heatsink"' in line]
    matches = (re.search(r"\b[A-Z]{2}-\d{2}\b", caption) for caption in captions)
    return DemoAlbum(folder, next(match.group() for match in matches if match is not None))
