"""Stage 0: the vision tower learns to see, from the truth of every patch and every picture."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from transformers import SiglipVisionModel

from sightline.training.vlm.data.album import Record, Squares
from sightline.training.vlm.data.patch_targets import (
    BINS,
    DenseHead,
    Targets,
    Words,
    dense_loss,
    targets_of,
)
from sightline.training.vlm.model.global_qa_head import AskedHead, questions_of
from sightline.training.vlm.model.vit_init import start_tower
from sightline.training.vlm.stages.stage_trainer import Course

_log = logging.getLogger(__name__)
RATE: Final = 2e-3
BATCH: Final = 32
_EMBED_BATCH: Final = 64
#: Families whose things are told by their outline alone, and how much more often they are shown.
_OUTLINES: Final = {"shapes": 2.5, "product": 2.0, "geometry": 1.5, "street": 1.5}
#: The weight of what is true of whole pictures beside that of patches.
_ASKED: Final = 0.6
#: For how many steps new heads learn alone before a tower that knows something goes on learning.
_HEADS_FIRST: Final = 80
_PROBE_EVERY: Final = 250
_PROBED: Final = 180


def train_tower(
    tower: SiglipVisionModel,
    squares: Squares,
    records: Sequence[Record],
    held: tuple[Squares, Sequence[Record]],
    *,
    folder: Path,
    seconds: float,
    side: int,
    device: torch.device,
    seed: int = 0,
    fresh: bool = True,
    still: bool = False,
) -> tuple[DenseHead, Words, Targets]:
    """Train ``tower`` in place for ``seconds``; returns the head that reads it, and its lessons.

    ``held`` are pictures that it is asked about on the way. A tower that is not ``fresh`` goes on
    from the weights that it has, once the new heads have learnt to read it; a ``still`` one keeps
    them, and the heads alone learn.
    """
    words = _words(folder / "words.json", records)
    targets = targets_of(records, words, side)
    _log.info("tower: %d squares, %d labels, %s", len(records), len(words.labels), words.widths)
    width = tower.config.hidden_size
    torch.manual_seed(seed)
    head = DenseHead(width, words).to(device)
    asked = AskedHead(width, questions_of(records)).to(device)
    truths = asked.truths(records)
    if fresh:
        start_tower(tower, squares)
    probed = list(held[1][:_PROBED])
    probe = targets_of(probed, words, side)
    course = Course("tower", folder, seconds, RATE, {"tower": tower, "head": head, "asked": asked})
    rng = random.Random(f"{seed}/{course.step}")
    weights = np.cumsum([_OUTLINES.get(record.family, 1.0) for record in records]).tolist()
    tower.train()
    for step in course.steps():
        rows = sorted(rng.choices(range(len(records)), cum_weights=weights, k=BATCH))
        with torch.autocast(device.type, torch.bfloat16):
            with torch.set_grad_enabled(not still and (fresh or step >= _HEADS_FIRST)):
                features = features_of(tower, pixels(squares[rows], device))
            classes, boxes = head(features)
            whole, right = asked(features, [truths[row] for row in rows])
        loss, figures = dense_loss(classes, boxes, *targets.tensors(rows, device), words.weights)
        course.learn(loss + _ASKED * whole, {**figures, "asked right": right})
        if step % _PROBE_EVERY == _PROBE_EVERY - 1:
            _log.info("tower, held out: %s", knowledge(tower, head, held[0], probed, probe, device))
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
def knowledge(
    tower: SiglipVisionModel,
    head: DenseHead,
    squares: Squares,
    records: Sequence[Record],
    targets: Targets,
    device: torch.device,
) -> dict[str, float]:
    """Of the patches that show a thing: how many are told rightly, all of them and by family."""
    features = glance(tower, squares, len(records), device).to(device)
    classes, boxes = head(features)
    truth = torch.from_numpy(targets.classes[:, :, 0].astype(np.int64)).to(device)
    corners = torch.from_numpy(targets.boxes).to(device)
    there = truth > 0
    right = classes[0].argmax(-1) == truth
    middle = (boxes.softmax(-1) * torch.linspace(0, 1, BINS, device=device)).sum(-1)
    shown = {
        "all": right[there],
        "corner": (middle - corners)[there].abs(),
    }
    for family in sorted({record.family for record in records}):
        rows = torch.tensor([record.family == family for record in records], device=device)
        shown[family] = right[rows & there.any(-1)][there[rows & there.any(-1)]]
    return {name: round(float(part.float().nanmean()), 3) for name, part in shown.items()}


@torch.no_grad()
def glance(tower: SiglipVisionModel, squares: Squares, count: int, device: torch.device) -> Tensor:
    """The tower's features of the first ``count`` squares: (count, patches, width) fp32, on CPU."""
    parts = []
    for start in range(0, min(count, len(squares)), _EMBED_BATCH):
        batch = pixels(squares[start : min(start + _EMBED_BATCH, count)], device)
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(features_of(tower, batch).float().cpu())
    return torch.cat(parts)
