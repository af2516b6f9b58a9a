"""Stage 2: train only the projector (first stage of LLaVA).

The targets are the oracle embeddings, or, when training continues from a model, the projector
outputs before the tower was trained further.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

from sightline.training.vlm.data.patch_targets import PatchTargets
from sightline.training.vlm.stages.language_model import TrainingModel, train_only
from sightline.training.vlm.stages.stage_trainer import StageTrainer
from sightline.training.vlm.stages.vision_tower import to_pixel_values, tower_features

_RATE: Final = 2e-3
_BATCH: Final = 32


@dataclass(frozen=True)
class FrozenProjector:
    """Frozen copy of tower and projector before further training."""

    tower: nn.Module
    projector: nn.Module

    @classmethod
    def of(cls, model: LlavaForConditionalGeneration) -> FrozenProjector:
        """Copy the current tower and projector of ``model``."""
        parts = model.model.vision_tower, model.model.multi_modal_projector
        tower, projector = (copy.deepcopy(part).requires_grad_(False) for part in parts)
        return cls(tower, projector)

    def embed_pixels(self, rows: Sequence[int], values: Tensor) -> Tensor:  # noqa: ARG002
        """Map ``values`` (images, 3, edge, edge) to (images, patches, width)."""
        output: Tensor = self.projector(tower_features(self.tower, values))
        return output


def align(
    training_model: TrainingModel,
    target_embeddings: Callable[[Sequence[int], Tensor], Tensor],
    targets: PatchTargets,
    *,
    folder: Path,
    seconds: float,
    seed: int = 0,
) -> None:
    """Train the projector for ``seconds`` to produce ``target_embeddings``.

    ``target_embeddings`` maps image rows and pixel values to embeddings. Patches with an object in
    ``targets`` have a higher weight.
    """
    model = training_model.model
    trained: dict[str, nn.Module] = {"projector": model.model.multi_modal_projector}
    train_only(model, trained)
    trainer = StageTrainer("align", folder, seconds, _RATE, trained)
    rng = random.Random(f"align/{seed}/{trainer.step}")
    for _ in trainer.steps():
        rows = sorted(
            rng.sample(range(len(training_model.squares)), min(_BATCH, len(training_model.squares)))
        )
        values = to_pixel_values(training_model.squares[rows], training_model.device)
        with torch.autocast(training_model.device.type, torch.bfloat16):
            with torch.no_grad():
                features = tower_features(model.model.vision_tower, values)
                expected = target_embeddings(rows, values).float()
            output = model.model.multi_modal_projector(features)
        has_object = targets.tensors(rows, training_model.device)[0][..., 0] > 0
        gap = ((output.float() - expected) ** 2).mean(-1) / expected[has_object].pow(2).mean()
        trainer.update(gap[has_object].mean() + 0.3 * gap[~has_object].mean(), {})
    trainer.write_curve()
