"""Training loop: AdamW, cosine schedule, EMA, resumable checkpoints."""

from __future__ import annotations

import json
import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from open_clip.model import CustomTextCLIP
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedTokenizerFast

from sightline.training.encoder import hardware
from sightline.training.encoder.checkpoint import (
    Progress,
    load_checkpoint,
    parameter_groups,
    save_checkpoint,
)
from sightline.training.encoder.data.album import Album, write_atomically
from sightline.training.encoder.data.batches import Captions, Sampler
from sightline.training.encoder.model.ema import Average
from sightline.training.encoder.model.losses import Losses, Objective
from sightline.training.encoder.model.towers import build, take_text, take_tower, trunk
from sightline.training.encoder.query_finetune import Held, examine
from sightline.training.encoder.recipe import Recipe

logger = logging.getLogger(__name__)
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
        groups = parameter_groups(
            self.objective, trunk(self.model), recipe.tower_share, recipe.weight_decay
        )
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
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
        state = {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
        }
        save_checkpoint(self.folder, self.recipe.as_dict(), self.progress, state)

    def _resume(self) -> None:
        found = load_checkpoint(self.folder, self.recipe.as_dict(), _MAY_CHANGE, self.device)
        if found is None:
            return
        state, self.progress = found
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"])

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
