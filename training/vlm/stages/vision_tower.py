"""Stage 0: train the vision tower on patch targets and global questions."""

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
    PatchHead,
    PatchTargets,
    TargetVocabulary,
    build_targets,
    compute_patch_loss,
)
from sightline.training.vlm.model.global_qa_head import GlobalQaHead, select_questions
from sightline.training.vlm.model.vit_init import init_tower
from sightline.training.vlm.stages.stage_trainer import StageTrainer

logger = logging.getLogger(__name__)
RATE: Final = 2e-3
BATCH: Final = 32
_EMBED_BATCH: Final = 64
#: Sampling weight of families whose objects differ only in their outline.
_FAMILY_WEIGHTS: Final = {"shapes": 2.5, "product": 2.0, "geometry": 1.5, "street": 1.5}
#: Weight of the global QA loss.
_GLOBAL_QA_WEIGHT: Final = 0.6
#: Steps with a frozen pretrained tower while the new heads are trained.
_HEADS_FIRST_STEPS: Final = 80
_PROBE_INTERVAL_STEPS: Final = 250
_PROBE_IMAGES: Final = 180


def train_tower(
    tower: SiglipVisionModel,
    squares: Squares,
    records: Sequence[Record],
    held_out: tuple[Squares, Sequence[Record]],
    *,
    folder: Path,
    seconds: float,
    side: int,
    device: torch.device,
    seed: int = 0,
    fresh: bool = True,
) -> tuple[PatchHead, TargetVocabulary, PatchTargets]:
    """Train ``tower`` in place; return its patch head, vocabulary and targets.

    ``held_out`` is used for metrics during training. If not ``fresh``, the tower keeps its weights
    and is frozen until the new heads are trained.
    """
    vocabulary = _vocabulary(folder / "words.json", records)
    targets = build_targets(records, vocabulary, side)
    logger.info(
        "tower: %d images, %d labels, %s", len(records), len(vocabulary.labels), vocabulary.widths
    )
    width = tower.config.hidden_size
    torch.manual_seed(seed)
    head = PatchHead(width, vocabulary).to(device)
    global_qa = GlobalQaHead(width, select_questions(records)).to(device)
    qa_targets = global_qa.targets(records)
    if fresh:
        init_tower(tower, squares)
    probe_records = list(held_out[1][:_PROBE_IMAGES])
    probe = build_targets(probe_records, vocabulary, side)
    trainer = StageTrainer(
        "tower", folder, seconds, RATE, {"tower": tower, "head": head, "global_qa": global_qa}
    )
    rng = random.Random(f"{seed}/{trainer.step}")
    weights = np.cumsum([_FAMILY_WEIGHTS.get(record.family, 1.0) for record in records]).tolist()
    tower.train()
    for step in trainer.steps():
        rows = sorted(rng.choices(range(len(records)), cum_weights=weights, k=BATCH))
        with torch.autocast(device.type, torch.bfloat16):
            with torch.set_grad_enabled(fresh or step >= _HEADS_FIRST_STEPS):
                features = tower_features(tower, to_pixel_values(squares[rows], device))
            classes, boxes = head(features)
            qa_loss, qa_accuracy = global_qa(features, [qa_targets[row] for row in rows])
        loss, metrics = compute_patch_loss(
            classes, boxes, *targets.tensors(rows, device), vocabulary.weights
        )
        trainer.update(
            loss + _GLOBAL_QA_WEIGHT * qa_loss, {**metrics, "global QA accuracy": qa_accuracy}
        )
        if step % _PROBE_INTERVAL_STEPS == _PROBE_INTERVAL_STEPS - 1:
            logger.info(
                "tower, held out: %s",
                probe_tower(tower, head, held_out[0], probe_records, probe, device),
            )
    trainer.write_curve()
    return head, vocabulary, targets


def _vocabulary(path: Path, records: Sequence[Record]) -> TargetVocabulary:
    """Load the vocabulary of this run, or create and save it."""
    if path.exists():
        return TargetVocabulary(**json.loads(path.read_text(encoding="utf-8")))
    vocabulary = TargetVocabulary.of(records)
    path.write_text(json.dumps(asdict(vocabulary), ensure_ascii=False), encoding="utf-8")
    return vocabulary


def to_pixel_values(squares: Squares, device: torch.device) -> Tensor:
    """Map (batch, edge, edge, 3) uint8 to (batch, 3, edge, edge) in -1 to 1."""
    # Copy, because torch warns about the read-only memory map.
    batch = torch.from_numpy(np.array(squares)).to(device)
    return batch.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def tower_features(tower: SiglipVisionModel, values: Tensor) -> Tensor:
    """Return the projector input: last layer output (batch, patches, width)."""
    output = tower(values, output_hidden_states=True)
    features: Tensor = output.hidden_states[-1]
    return features


@torch.no_grad()
def probe_tower(
    tower: SiglipVisionModel,
    head: PatchHead,
    squares: Squares,
    records: Sequence[Record],
    targets: PatchTargets,
    device: torch.device,
) -> dict[str, float]:
    """Return label accuracy on object patches, overall and by family."""
    features = compute_features(tower, squares, len(records), device).to(device)
    classes, boxes = head(features)
    truth = torch.from_numpy(targets.classes[:, :, 0].astype(np.int64)).to(device)
    corners = torch.from_numpy(targets.boxes).to(device)
    has_object = truth > 0
    correct = classes[0].argmax(-1) == truth
    middle = (boxes.softmax(-1) * torch.linspace(0, 1, BINS, device=device)).sum(-1)
    values = {
        "all": correct[has_object],
        "corner": (middle - corners)[has_object].abs(),
    }
    for family in sorted({record.family for record in records}):
        rows = torch.tensor([record.family == family for record in records], device=device)
        values[family] = correct[rows & has_object.any(-1)][has_object[rows & has_object.any(-1)]]
    return {name: round(float(part.float().nanmean()), 3) for name, part in values.items()}


@torch.no_grad()
def compute_features(
    tower: SiglipVisionModel, squares: Squares, count: int, device: torch.device
) -> Tensor:
    """Return features (count, patches, width) of the first squares, on CPU."""
    parts = []
    for start in range(0, min(count, len(squares)), _EMBED_BATCH):
        batch = to_pixel_values(squares[start : min(start + _EMBED_BATCH, count)], device)
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(tower_features(tower, batch).float().cpu())
    return torch.cat(parts)
