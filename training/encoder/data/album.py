"""The drawn pictures on disk: pixels as the encoder sees them, captions and what they are.

A split is drawn once, in shards that are written whole or not at all, so drawing can be broken off
and taken up again, and training can begin on the shards that are there.

    FOLDER/train/00000.npy     (n, px, px, 3) uint8, RGB
    FOLDER/train/00000.jsonl   one ``Entry`` a line, in the same order
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
from sightline.training.world.core.picture import Language, Picture, Split
from sightline.training.world.core.splits import seed_of

Pixels = npt.NDArray[np.uint8]
SHARD = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one drawn picture; ``wanted`` is all that one could look for in it."""

    family: str
    seed: int
    combination: str
    unseen: bool
    captions: dict[Language, list[str]]
    wanted: list[Wanted]

    @classmethod
    def of(cls, picture: Picture) -> Entry:
        """What is known of ``picture``."""
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
    """The pictures of one split: ``pixels(i)`` and ``entries[i]`` belong together."""

    shards: tuple[Pixels, ...]
    entries: tuple[Entry, ...]
    starts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def pixels(self, index: int) -> Pixels:
        """Picture ``index`` as (px, px, 3) uint8."""
        shard = int(np.searchsorted(self.starts, index, side="right")) - 1
        picture: Pixels = self.shards[shard][index - self.starts[shard]]
        return picture


def through_jpeg(picture: Picture) -> Image.Image:
    """The picture as the world writes it to a file, with the traces of its JPEG quality."""
    quality = int(picture.metadata.get("jpeg_quality", 90))
    buffer = io.BytesIO()
    picture.image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def squash(image: Image.Image, px: int) -> Pixels:
    """The image as (px, px, 3) uint8, as open_clip's ``squash`` preprocessing makes it."""
    return np.asarray(image.resize((px, px), Image.Resampling.BICUBIC), dtype=np.uint8)


def pictures(split: Split, start: int, stop: int) -> Iterator[Picture]:
    """Pictures ``start`` to ``stop`` of a split, the families taking turns."""
    names = list(families.FAMILIES)
    for number in range(start, stop):
        yield families.draw(names[number % len(names)], seed_of(split, number), split)


def draw(
    folder: Path, split: Split, count: int, px: int, say: Callable[[str], None] = print
) -> None:
    """Draw what is missing of the first ``count`` pictures of a split under ``folder``."""
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
    """The first ``count`` drawn pictures of a split (all by default), pixels left on disk."""
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
    """Write a file that is there whole or not at all."""
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
