"""Drawn pictures on disk: pixels of the encoder, and the targets.

FOLDER/train/00000.npy     (n, px, px, 3) uint8, RGB
FOLDER/train/00000.jsonl   one ``Labels`` per line, in the same order
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sightline.storage.errors import InvalidArgumentError
from sightline.training.detector.data.targets import Target, targets_of
from sightline.training.encoder.data.album import (
    Pixels,
    pictures,
    squash,
    through_jpeg,
    write_atomically,
)
from sightline.training.encoder.recipe import IMAGE_PX
from sightline.training.world.core.scene import Box, Split

SHARD: Final = 512


@dataclass(frozen=True, slots=True)
class Labels:
    """The ground truth of one picture."""

    family: str
    unseen: bool
    targets: list[Target]


@dataclass(frozen=True, slots=True)
class Shard:
    """Some pictures of a split, in order: ``pixels`` (n, px, px, 3)."""

    pixels: Pixels
    labels: list[Labels]


def draw(folder: Path, split: Split, count: int, say: Callable[[str], None]) -> None:
    """Draw the missing ones of the first ``count`` pictures of a split."""
    target = folder / split
    target.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, count, SHARD)):
        names, pixels = target / f"{number:05d}.jsonl", target / f"{number:05d}.npy"
        stop = min(start + SHARD, count)
        if pixels.exists() and len(_labels(names)) >= stop - start:
            continue
        drawn: list[Pixels] = []
        lines: list[str] = []
        for scene in pictures(split, start, stop):
            drawn.append(squash(through_jpeg(scene), IMAGE_PX))
            labels = Labels(scene.family, scene.unseen, targets_of(scene))
            lines.append(json.dumps(asdict(labels), ensure_ascii=False))
        write_atomically(names, ("\n".join(lines) + "\n").encode())
        buffer = io.BytesIO()
        np.save(buffer, np.stack(drawn))
        write_atomically(pixels, buffer.getvalue())
        say(f"drew {split} {stop:,} of {count:,}")


def load(folder: Path, split: Split, count: int) -> list[Shard]:
    """Open the first ``count`` pictures of a split; pixels stay on disk.

    Raises InvalidArgumentError if fewer are drawn.
    """
    shards: list[Shard] = []
    missing = count
    for path in sorted((folder / split).glob("*.npy")):
        labels = _labels(path.with_suffix(".jsonl"))[:missing]
        if labels:
            shards.append(Shard(np.load(path, mmap_mode="r")[: len(labels)], labels))
        missing -= len(labels)
    if missing:
        raise InvalidArgumentError(
            f"{missing} of {count} {split!r} pictures are not drawn under {str(folder)!r}"
        )
    return shards


def _labels(path: Path) -> list[Labels]:
    if not path.exists():
        return []
    return [_parse(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _parse(line: str) -> Labels:
    value = json.loads(line)
    targets = [
        Target(_box(each["box"]), tuple(each["names"]), each["colour"], each["own"])
        for each in value["targets"]
    ]
    return Labels(value["family"], value["unseen"], targets)


def _box(values: list[float]) -> Box:
    return values[0], values[1], values[2], values[3]
