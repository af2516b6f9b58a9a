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
class DemoQuestion:
    """A question about one image, and its correct answer."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class DemoAlbum:
    """The demo images. ``part_number`` is written on one of the drawings."""

    folder: Path
    part_number: str

    def questions(self, file_name: str) -> list[DemoQuestion]:
        """Return one English question of each kind about an image."""
        by_kind: dict[str, DemoQuestion] = {}
        path = self.folder.with_name("questions.jsonl")
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["file_name"].endswith(file_name) and row["language"] == "en":
                    question = DemoQuestion(row["kind"], row["question"], row["answer"])
                    by_kind.setdefault(question.kind, question)
        return list(by_kind.values())


def draw_demo_album(data_dir: Path, *, workers: int = 2) -> DemoAlbum:
    """Return the demo images in the data folder; draw them if they are missing.

    They are from the test split, which was not used to train the built-in models.
    """
    folder = data_dir / "demo" / "album"
    if not folder.is_dir():
        from sightline.training.world.export import export

        temporary = folder.with_name("drawn")
        shutil.rmtree(temporary, ignore_errors=True)  # left by an interrupted run
        export(temporary, split="test", count=_IMAGES, seed=_SEED, workers=workers)
        for name in _GROUND_TRUTH:
            (temporary / name).replace(folder.with_name(name))
        temporary.rename(folder)
    return DemoAlbum(folder, _part_number(folder))


def _part_number(folder: Path) -> str:
    with (folder / "metadata.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if '"family": "heatsink"' in line]
    matches = (re.search(r"\b[A-Z]{2}-\d{2}\b", row["caption"]) for row in rows)
    return next(match.group() for match in matches if match is not None)
