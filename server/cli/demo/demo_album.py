"""The pictures of the demo: a drawn album, made once and kept in the data folder."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

COLLECTION = "demo"
OWN_COLLECTION = "my-pictures"

_PICTURES = 180
_SEED = 7
#: Ground truth that the export writes beside the pictures; not for ingest.
_TRUTH = ("questions.jsonl", "instances.json")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one picture of the album, and the one right answer."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Album:
    """The drawn album. ``part`` is a part number that is written on one of its drawings."""

    folder: Path
    part: str

    def questions(self, file_name: str) -> list[Question]:
        """One question of each kind about a picture, in English."""
        by_kind: dict[str, Question] = {}
        truth = self.folder.with_name("questions.jsonl")
        with truth.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["file_name"].endswith(file_name) and row["language"] == "en":
                    asked = Question(row["kind"], row["question"], row["answer"])
                    by_kind.setdefault(asked.kind, asked)
        return list(by_kind.values())


def drawn_album(data_dir: Path, *, workers: int = 2) -> Album:
    """The drawn album below ``data_dir``; drawn if it is not there yet.

    The pictures are of the test split: the built-in models have seen none of them.
    """
    folder = data_dir / "demo" / "album"
    if not folder.is_dir():
        from sightline.training.world.export import export

        drawn = folder.with_name("drawn")
        shutil.rmtree(drawn, ignore_errors=True)  # of a run that was interrupted
        export(drawn, split="test", count=_PICTURES, seed=_SEED, workers=workers)
        for name in _TRUTH:
            (drawn / name).replace(folder.with_name(name))
        drawn.rename(folder)
    return Album(folder, _part(folder))


def _part(folder: Path) -> str:
    with (folder / "metadata.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if '"family": "heatsink"' in line]
    named = (re.search(r"\b[A-Z]{2}-\d{2}\b", row["caption"]) for row in rows)
    return next(found.group() for found in named if found is not None)
