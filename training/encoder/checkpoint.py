"""Progress, checkpoint and parameter groups of a training run."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from sightline.storage.errors import ConfigurationError
from sightline.training.encoder.data.album import write_atomically

logger = logging.getLogger(__name__)
CHECKPOINT: Final = "checkpoint.pt"


@dataclass(slots=True)
class Progress:
    """Progress of a run: ``steps`` done, ``seconds`` of training, validation ``curve``."""

    steps: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    folder: Path, recipe: Mapping[str, Any], progress: Progress, state: Mapping[str, Any]
) -> None:
    """Write the checkpoint atomically."""
    buffer = io.BytesIO()
    torch.save({"recipe": recipe, **state, **asdict(progress)}, buffer)
    write_atomically(folder / CHECKPOINT, buffer.getvalue())


def load_checkpoint(
    folder: Path, recipe: Mapping[str, Any], may_change: Collection[str], device: torch.device
) -> tuple[dict[str, Any], Progress] | None:
    """Return the checkpoint of a folder and its progress, None if there is none.

    Raises ConfigurationError if its recipe differs in other fields than ``may_change``.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    before = state["recipe"]
    changed = [k for k in recipe if before.get(k) != recipe[k] and k not in may_change]
    if changed:
        raise ConfigurationError(
            f"the checkpoint in {str(folder)!r} was made with another recipe "
            f"({', '.join(sorted(changed))}); give another folder or remove it"
        )
    logger.info("resumed at step %d", state["steps"])
    return state, Progress(state["steps"], state["seconds"], state["curve"])


def parameter_groups(
    module: nn.Module, tower: Iterable[nn.Parameter], tower_share: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return parameter groups; only matrices and kernels have weight decay.

    ``share`` is the learning rate factor of a group: ``tower_share`` for the parameters of the
    pretrained ``tower``.
    """
    from_tower = {id(p) for p in tower}
    groups = []
    for of_tower, share in ((True, tower_share), (False, 1.0)):
        chosen = [p for p in module.parameters() if (id(p) in from_tower) is of_tower]
        for decay, params in (
            (weight_decay, [p for p in chosen if p.ndim >= 2]),
            (0.0, [p for p in chosen if p.ndim < 2]),
        ):
            groups.append({"params": params, "weight_decay": decay, "lr": 0.0, "share": share})
    return groups
