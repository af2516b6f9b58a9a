"""Stage 0: the vision tower learns to see, from the truth of every patch (see ``dense``)."""

from __future__ import annotations

import json
import logging
import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from transformers import SiglipVisionModel

from sightline.training.vlm.album import Record, Squares
from sightline.training.vlm.course import Course
from sightline.training.vlm.dense import DenseHead, Targets, Words, dense_loss, targets_of

_log = logging.getLogger(__name__)
RATE: Final = 1e-3
BATCH: Final = 16
_EMBED_BATCH: Final = 64


def train_tower(
    tower: SiglipVisionModel,
    squares: Squares,
    records: Sequence[Record],
    *,
    folder: Path,
    seconds: float,
    side: int,
    device: torch.device,
    seed: int = 0,
) -> tuple[DenseHead, Words, Targets]:
    """Train ``tower`` in place for ``seconds``; returns the head that reads it, and its lessons."""
    words = _words(folder / "words.json", records)
    targets = targets_of(records, words, side)
    _log.info("tower: %d squares, %d labels, %s", len(records), len(words.labels), words.widths)
    width = tower.config.hidden_size
    torch.manual_seed(seed)
    head = DenseHead(width, words).to(device)
    if not (folder / "tower.pt").exists():
        _start_well(tower, squares)
    course = Course("tower", folder, seconds, RATE, {"tower": tower, "head": head})
    rng = random.Random(f"{seed}/{course.step}")
    order: list[int] = []
    tower.train()
    for _ in course.steps():
        if len(order) < BATCH:
            order += rng.sample(range(len(records)), len(records))
        rows = sorted(order[:BATCH])
        del order[:BATCH]
        with torch.autocast(device.type, torch.bfloat16):
            features = features_of(tower, pixels(squares[rows], device))
            classes, boxes = head(features)
        truth = torch.from_numpy(targets.classes[rows].astype(np.int64)).to(device)
        corners = torch.from_numpy(targets.boxes[rows]).to(device)
        loss, figures = dense_loss(classes, boxes, truth, corners)
        course.learn(loss, figures)
    course.write_curve()
    return head, words, targets


def _words(path: Path, records: Sequence[Record]) -> Words:
    """The classes of this run: collected once, then kept, so that a resumed head still fits."""
    if path.exists():
        return Words(**json.loads(path.read_text(encoding="utf-8")))
    words = Words.of(records)
    path.write_text(json.dumps(asdict(words), ensure_ascii=False), encoding="utf-8")
    return words


def pixels(squares: Squares, device: torch.device) -> Tensor:
    """(batch, edge, edge, 3) uint8 to (batch, 3, edge, edge), -1 to 1: what the processor does."""
    # A copy: a slice of the album's map is read-only, and torch warns of that.
    batch = torch.from_numpy(np.array(squares)).to(device)
    return batch.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def features_of(tower: SiglipVisionModel, values: Tensor) -> Tensor:
    """What LLaVA's projector reads: the last layer's output, (batch, patches, width)."""
    output = tower(values, output_hidden_states=True)
    features: Tensor = output.hidden_states[-1]
    return features


@torch.no_grad()
def glance(tower: SiglipVisionModel, squares: Squares, count: int, device: torch.device) -> Tensor:
    """The tower's features of the first ``count`` squares: (count, patches, width) fp32, on CPU."""
    parts = []
    for start in range(0, min(count, len(squares)), _EMBED_BATCH):
        batch = pixels(squares[start : min(start + _EMBED_BATCH, count)], device)
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(features_of(tower, batch).float().cpu())
    return torch.cat(parts)


@torch.no_grad()
def _start_well(tower: SiglipVisionModel, squares: Squares, sample: int = 256) -> None:
    """Start from what is known of pictures: the places of patches, and what patches vary by.

    The position embedding becomes sines and cosines of row and column. Half of the patch
    embedding's channels become the principal components of patches, with equal variance; the rest
    stay random.
    """
    place = tower.get_submodule("embeddings.position_embedding").weight
    side = math.isqrt(len(place))
    rates = torch.exp(torch.linspace(0.0, math.log(0.05), place.shape[1] // 4))
    angles = torch.arange(side)[:, None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    down, across = waves.repeat_interleave(side, 0), waves.repeat(side, 1)
    place.copy_(0.5 * torch.cat([down, across], 1))
    size = tower.config.patch_size
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(squares), min(sample, len(squares)), replace=False))
    weight = tower.get_input_embeddings().weight
    patches = pixels(squares[rows], torch.device("cpu")).unfold(2, size, size).unfold(3, size, size)
    flat = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size * size)
    _, spread, directions = torch.pca_lowrank(flat, q=min(weight.shape[0] // 2, 96))
    unit = directions.T / (spread[:, None] / len(flat) ** 0.5)
    weight[: len(unit)] = 0.5 * unit.reshape(len(unit), *weight.shape[1:]).to(weight.device)
