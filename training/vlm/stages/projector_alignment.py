"""Stage 2: the projector alone (LLaVA's first stage) learns what the language model understands.

What it should say of a patch is known: what the oracle says, or, of a model that goes on learning,
what it said before its tower went on.
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

from sightline.training.vlm.data.patch_targets import Targets
from sightline.training.vlm.stages.language_model import Pupil, only
from sightline.training.vlm.stages.stage_trainer import Course
from sightline.training.vlm.stages.vision_tower import features_of, pixels

_RATE: Final = 2e-3
_BATCH: Final = 32


@dataclass(frozen=True)
class Before:
    """What a model that goes on learning said of pictures before its tower went on."""

    tower: nn.Module
    projector: nn.Module

    @classmethod
    def of(cls, model: LlavaForConditionalGeneration) -> Before:
        """A copy of the tower and the projector of ``model`` as they are now."""
        parts = model.model.vision_tower, model.model.multi_modal_projector
        tower, projector = (copy.deepcopy(part).requires_grad_(False) for part in parts)
        return cls(tower, projector)

    def of_pixels(self, rows: Sequence[int], values: Tensor) -> Tensor:  # noqa: ARG002
        """What it said of ``values`` (pictures, 3, edge, edge): (pictures, patches, width)."""
        said: Tensor = self.projector(features_of(self.tower, values))
        return said


def align(
    pupil: Pupil,
    goal: Callable[[Sequence[int], Tensor], Tensor],
    targets: Targets,
    *,
    folder: Path,
    seconds: float,
    seed: int = 0,
) -> None:
    """Train the projector for ``seconds`` to say of what the tower sees what ``goal`` says.

    ``goal`` is given the numbers of pictures and their pixels; ``targets`` tell which patches show
    a thing, which count most.
    """
    model = pupil.model
    trained: dict[str, nn.Module] = {"projector": model.model.multi_modal_projector}
    only(model, trained)
    course = Course("align", folder, seconds, _RATE, trained)
    rng = random.Random(f"align/{seed}/{course.step}")
    for _ in course.steps():
        rows = sorted(rng.sample(range(len(pupil.squares)), min(_BATCH, len(pupil.squares))))
        values = pixels(pupil.squares[rows], pupil.device)
        with torch.autocast(pupil.device.type, torch.bfloat16):
            with torch.no_grad():
                seen = features_of(model.model.vision_tower, values)
                told = goal(rows, values).float()
            said = model.model.multi_modal_projector(seen)
        there = targets.tensors(rows, pupil.device)[0][..., 0] > 0
        gap = ((said.float() - told) ** 2).mean(-1) / told[there].pow(2).mean()
        course.learn(gap[there].mean() + 0.3 * gap[~there].mean(), {})
    course.write_curve()
