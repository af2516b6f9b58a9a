"""Drawn images on disk: encoder pixels, captions and labels.

A split is drawn once, in shards that are written atomically. Drawing can be interrupted and
resumed, and training can start with the existing shards.

    FOLDER/train/00000.npy     (n, px, px, 3) uint8, RGB
    FOLDER/train/00000.jsonl   one ``Entry`` per line, in the same order
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sightline.storage.errors import InvalidArgumentError
from sightline.training.encoder.data.query_templates import Wanted, wanted_of
from sightline.training.world import families
from sightline.training.world.core.scene import Language, Scene, Split
from sightline.training.world.core.splits import seed_of

Pixels = npt.NDArray[np.uint8]
SHARD = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """Labels of one drawn image; ``wanted`` lists all query targets in it."""

    family: str
    seed: int
    combination: str
    unseen: bool
    captions: dict[Language, list[str]]
    wanted: list[Wanted]

    @classmethod
    def of(cls, picture: Scene) -> Entry:
        """Return the labels of ``picture``."""
        return cls(
            picture.family,
            picture.seed,
            picture.combination,
            picture.unseen,
            picture.captions,
            wanted_of(picture),
        )


@dataclass(frozen=True, slots=True)
class Album:
    """The images of one split: ``pixels(i)`` belongs to ``entries[i]``."""

    shards: tuple[Pixels, ...]
    entries: tuple[Entry, ...]
    starts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def pixels(self, index: int) -> Pixels:
        """Return image ``index`` as (px, px, 3) uint8."""
        shard = int(np.searchsorted(self.starts, index, side="right")) - 1
        picture: Pixels = self.shards[shard][index - self.starts[shard]]
        return picture


def through_jpeg(picture: Scene) -> Image.Image:
    """Encode and decode the image as JPEG, like an exported file."""
    quality = int(picture.metadata.get("jpeg_quality", 90))
    buffer = io.BytesIO()
    picture.image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def squash(image: Image.Image, px: int) -> Pixels:
    """Resize to (px, px, 3) uint8 like open_clip's ``squash`` preprocessing."""
    return np.asarray(image.resize((px, px), Image.Resampling.BICUBIC), dtype=np.uint8)


def pictures(split: Split, start: int, stop: int) -> Iterator[Scene]:
    """Draw images ``start`` to ``stop`` of a split, one family after another."""
    names = list(families.FAMILIES)
    for number in range(start, stop):
        yield families.draw(names[number % len(names)], seed_of(split, number), split)


def draw(
    folder: Path, split: Split, count: int, px: int, say: Callable[[str], None] = print
) -> None:
    """Draw the missing ones of the first ``count`` images of a split."""
    target = folder / split
    target.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, count, SHARD)):
        names, pixels = target / f"{number:05d}.jsonl", target / f"{number:05d}.npy"
        stop = min(start + SHARD, count)
        if pixels.exists() and len(_entries(names)) >= stop - start:
            continue
        drawn: list[Pixels] = []
        lines: list[str] = []
        for picture in pictures(split, start, stop):
            drawn.append(squash(through_jpeg(picture), px))
            lines.append(json.dumps(asdict(Entry.of(picture)), ensure_ascii=False))
        write_atomically(names, ("\n".join(lines) + "\n").encode())
        buffer = io.BytesIO()
        np.save(buffer, np.stack(drawn))
        write_atomically(pixels, buffer.getvalue())
        say(f"drew {split} {stop:,} of {count:,}")


def load(folder: Path, split: Split, count: int | None = None) -> Album:
    """Open the first ``count`` images of a split; pixels stay on disk."""
    shards: list[Pixels] = []
    entries: list[Entry] = []
    starts: list[int] = []
    for path in sorted((folder / split).glob("*.npy")):
        starts.append(len(entries))
        shards.append(np.load(path, mmap_mode="r"))
        entries.extend(_entries(path.with_suffix(".jsonl"))[: len(shards[-1])])
    if not entries:
        raise InvalidArgumentError(f"no {split!r} pictures are drawn under {str(folder)!r}")
    return Album(tuple(shards), tuple(entries[:count]), tuple(starts))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _entries(path: Path) -> list[Entry]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    loaded: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [
        Entry(**{**fields, "wanted": [Wanted(**one) for one in fields["wanted"]]})
        for fields in loaded
    ]
