"""Training loop: AdamW, cosine schedule, EMA, resumable checkpoints."""

from __future__ import annotations

import io
import json
import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CustomTextCLIP
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedTokenizerFast

from sightline.storage.errors import ConfigurationError
from sightline.training.encoder import hardware
from sightline.training.encoder.data.album import Album, write_atomically
from sightline.training.encoder.data.batches import Captions, Sampler
from sightline.training.encoder.model.ema import Average
from sightline.training.encoder.model.losses import Losses, Objective
from sightline.training.encoder.model.towers import build, take_text, take_tower, trunk
from sightline.training.encoder.query_finetune import Held, examine
from sightline.training.encoder.recipe import Recipe

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
CURVE = "curve.json"
#: Fields that may differ between a checkpoint and the run that resumes it.
_MAY_CHANGE = frozenset(
    {
        "steps",
        "pictures",
        "test_pictures",
        "family_weights",
        "validate_every_steps",
        "checkpoint_every_steps",
        "short",
    }
)


@dataclass(slots=True)
class Progress:
    """Progress of a run: ``steps`` done, ``seconds`` of training, validation ``curve``."""

    steps: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


class Run:
    """A training run in a folder; it resumes from a checkpoint in the folder.

    A new run initializes the image tower from the LLaVA in ``tower`` and the text tower from the
    encoder in ``start``, if given.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        train: Album,
        validation: Album,
        tokenizer: PreTrainedTokenizerFast,
        device: torch.device,
        precision: hardware.Precision = "auto",
        tower: Path | None = None,
        start: Path | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.folder, self.recipe, self.device, self.precision = folder, recipe, device, precision
        self.validation, self.tokenizer = validation, tokenizer
        captions = Captions(train.entries, tokenizer)
        self.sampler = Sampler(train, captions, recipe)
        model = build(len(tokenizer))
        if tower is not None:
            take_tower(model, tower)
        if start is not None:
            take_text(model, start)
        self.objective = Objective(model, captions.word_frequency(), recipe).to(device)
        self.objective.to(memory_format=torch.channels_last)
        self.average = Average(self.model, recipe.average_decay)
        self.optimizer = torch.optim.AdamW(_groups(self.objective, recipe), betas=(0.9, 0.98))
        self.progress = Progress()
        self._resume()

    @property
    def model(self) -> CustomTextCLIP:
        """Return the model after the last step."""
        return self.objective.model

    def averaged(self) -> CustomTextCLIP:
        """Return the model with the averaged weights."""
        model = build(len(self.tokenizer)).to(self.device)
        model.load_state_dict(self.average.weights)
        return model.eval()

    def run(self) -> Progress:
        """Train to the last step of the recipe."""
        recipe, progress = self.recipe, self.progress
        while progress.steps < recipe.steps:
            began = time.monotonic()
            losses = self.step(progress.steps)
            progress.steps += 1
            progress.seconds += time.monotonic() - began
            if progress.steps % 10 == 0:
                self._report(losses, time.monotonic() - began)
            last = progress.steps == recipe.steps
            if last or progress.steps % recipe.validate_every_steps == 0:
                self._validate(losses)
            if last or progress.steps % recipe.checkpoint_every_steps == 0:
                self.save()
        return progress

    def step(self, number: int) -> Losses:
        """Run one optimizer step on batch ``number``."""
        self.objective.train()
        rate = learning_rate(number, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        batch = self.sampler.batch(number).to(self.device)
        with _kernels(self.device):
            with hardware.autocast(self.device, self.precision):
                losses: Losses = self.objective(batch)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(losses.total)
        nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.model, number)
        return losses

    def save(self) -> None:
        """Write the checkpoint atomically."""
        buffer = io.BytesIO()
        state = {
            "recipe": self.recipe.as_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "steps": self.progress.steps,
            "seconds": self.progress.seconds,
            "curve": self.progress.curve,
        }
        torch.save(state, buffer)
        write_atomically(self.folder / CHECKPOINT, buffer.getvalue())

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        before, now = state["recipe"], self.recipe.as_dict()
        changed = sorted(k for k in now if before.get(k) != now[k] and k not in _MAY_CHANGE)
        if changed:
            raise ConfigurationError(
                f"the checkpoint in {str(self.folder)!r} was made with another recipe "
                f"({', '.join(changed)}); give another folder or remove it"
            )
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"])
        self.progress = Progress(state["steps"], state["seconds"], state["curve"])
        logger.info("resumed at step %d", self.progress.steps)

    def _validate(self, losses: Losses) -> None:
        model = self.averaged()
        held = Held.of(self.validation, model, self.device)
        figures = examine(model, self.tokenizer, held, self.device)
        point = {
            "step": float(self.progress.steps),
            "minutes": round(self.progress.seconds / 60, 2),
            "loss": round(losses.contrastive.item(), 4),
            **figures,
        }
        self.progress.curve.append(point)
        text = json.dumps(self.progress.curve, indent=1) + "\n"
        write_atomically(self.folder / CURVE, text.encode())
        logger.info("validation %s", json.dumps(point))

    def _report(self, losses: Losses, seconds: float) -> None:
        logger.info(
            "step %d of %d: contrastive %.3f, languages %.3f, words %.3f, queries %.3f, "
            "scale %.1f, %.2f s",
            self.progress.steps,
            self.recipe.steps,
            losses.contrastive.item(),
            losses.languages.item(),
            losses.words.item(),
            losses.queries.item(),
            self.model.logit_scale.exp().item(),
            seconds,
        )


def _kernels(device: torch.device) -> AbstractContextManager[object]:
    """Use explicit attention: for few tokens it takes a third of the fused kernel's time."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def learning_rate(step: int, recipe: Recipe) -> float:
    """Return the learning rate factor: linear warm-up, then cosine to 1/100."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


def _groups(objective: Objective, recipe: Recipe) -> list[dict[str, Any]]:
    """Return parameter groups; only matrices and kernels have weight decay.

    ``share`` is the learning rate factor of a group.
    """
    seeing = {id(p) for p in trunk(objective.model)}
    groups = []
    for sees, share in ((True, recipe.tower_share), (False, 1.0)):
        chosen = [p for p in objective.parameters() if (id(p) in seeing) is sees]
        for decay, params in (
            (recipe.weight_decay, [p for p in chosen if p.ndim >= 2]),
            (0.0, [p for p in chosen if p.ndim < 2]),
        ):
            groups.append({"params": params, "weight_decay": decay, "lr": 0.0, "share": share})
    return groups
