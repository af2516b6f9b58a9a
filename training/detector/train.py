"""Training loop on fixed states: AdamW, constant rate with a decay, EMA, checkpoints."""

from __future__ import annotations

import copy
import json
import logging
import time
from pathlib import Path
from typing import Any, Final

import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sightline.training.detector.data import album, features
from sightline.training.detector.data.batches import Sampler
from sightline.training.detector.data.phrases import Vocabulary, all_queries
from sightline.training.detector.evaluation.validate import examine
from sightline.training.detector.model.detector import (
    PatchHeads,
    PhraseHead,
    TextStates,
    Trunk,
    logits,
)
from sightline.training.detector.model.losses import overlaps, phrase_loss
from sightline.training.detector.recipe import Recipe
from sightline.training.encoder import hardware
from sightline.training.encoder.checkpoint import (
    Progress,
    load_checkpoint,
    parameter_groups,
    save_checkpoint,
)
from sightline.training.encoder.model.ema import Average
from sightline.training.world.core.scene import LANGUAGES, Language

logger = logging.getLogger(__name__)
_REPORT_STEPS: Final = 25
#: Fields that may differ between a checkpoint and the run that resumes it.
_MAY_CHANGE: Final = frozenset(
    {"steps", "decay_share", "test_pictures", "validate_every_steps", "checkpoint_every_steps"}
)


class Heads(nn.Module):
    """Everything that is trained."""

    def __init__(self, model: CustomTextCLIP) -> None:
        super().__init__()
        self.patches = PatchHeads(model)
        self.phrases = PhraseHead(model.text.token_embedding.weight.shape[1])


class Run:
    """A training run on pictures that are drawn under ``folder``."""

    def __init__(self, folder: Path, recipe: Recipe, model: CustomTextCLIP, tokenizer: Any) -> None:
        torch.manual_seed(recipe.seed)
        self.folder, self.recipe = folder, recipe
        self.vocabulary = Vocabulary(all_queries())
        trunk, tower = Trunk(model).eval(), TextStates(model).eval()
        train = album.load(folder / "album", "train", recipe.pictures)
        held = album.load(folder / "album", "validation", recipe.validation_pictures)
        states = features.picture_states(trunk, train, folder / "states" / "train")
        self.sampler = Sampler(train, states, self.vocabulary, recipe)
        held_states = features.picture_states(trunk, held, folder / "states" / "validation")
        self.phrases = features.phrase_states(tower, tokenizer, self.vocabulary.texts)
        self.held = [each for shard in held for each in shard.labels], held_states
        self.heads = Heads(model)
        self.average = Average(self.heads, recipe.average_decay)
        groups = parameter_groups(
            self.heads,
            self.heads.patches.blocks.parameters(),
            recipe.tower_share,
            recipe.weight_decay,
        )
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.progress = Progress()
        self._resume()

    def run(self) -> Progress:
        """Train to the last step of the recipe."""
        recipe, progress = self.recipe, self.progress
        while progress.steps < recipe.steps:
            began = time.monotonic()
            losses = self._step(progress.steps)
            progress.seconds += time.monotonic() - began
            progress.steps += 1
            if progress.steps % _REPORT_STEPS == 0:
                logger.info(
                    "step %d of %d: phrases %.3f, corners %.3f, IoU %.3f, %.2f s a step",
                    progress.steps,
                    recipe.steps,
                    *losses,
                    progress.seconds / progress.steps,
                )
            last = progress.steps == recipe.steps
            if last or progress.steps % recipe.validate_every_steps == 0:
                self._validate(losses[0])
            if last or progress.steps % recipe.checkpoint_every_steps == 0:
                self.save()
        return progress

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "current": self.heads.state_dict(),
            "heads": self.average.weights,
            "optimizer": self.optimizer.state_dict(),
            "hardware": hardware.describe(torch.device("cpu")),
        }
        save_checkpoint(self.folder, self.recipe.as_dict(), self.progress, state)

    def _resume(self) -> None:
        cpu = torch.device("cpu")
        found = load_checkpoint(self.folder, self.recipe.as_dict(), _MAY_CHANGE, cpu)
        if found is None:
            return
        state, self.progress = found
        self.heads.load_state_dict(state["current"])
        self.average.load(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])

    def averaged(self) -> Heads:
        """Return the heads with the averaged weights."""
        heads = copy.deepcopy(self.heads)
        heads.load_state_dict(self.average.weights)
        return heads.eval()

    def _step(self, number: int) -> tuple[float, float, float]:
        """Run a step; return phrase loss, mean distance of corners, and mean IoU."""
        self.heads.train()
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(number, recipe) * group["share"]
        batch = self.sampler.batch(number)
        with sdpa_kernel(SDPBackend.MATH), hardware.autocast(torch.device("cpu"), "auto"):
            patches = self.heads.patches(batch.states)
            phrases = self.heads.phrases(self.phrases[batch.rows])
        shown = ~batch.boxes[..., 0].isnan()
        iou, generalized = overlaps(patches.boxes[shown], batch.boxes[shown])
        quality = torch.zeros(shown.shape)
        quality[shown] = iou.detach()
        named = phrase_loss(logits(patches, phrases), quality[..., None] * batch.meant, batch.known)
        corner = (patches.boxes[shown] - batch.boxes[shown]).abs().mean()
        overlap = (1 - generalized).mean()
        total = named + recipe.corner_weight * corner + recipe.overlap_weight * overlap
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(self.heads.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.heads, number)
        return named.item(), corner.item(), iou.detach().mean().item()

    def _validate(self, loss: float) -> None:
        labels, states = self.held
        heads = self.averaged()
        figures = examine(
            heads.patches, self._plain_phrases(heads), labels, states, self.vocabulary
        )
        point = {
            "step": float(self.progress.steps),
            "minutes": round(self.progress.seconds / 60, 2),
        }
        self.progress.curve.append(point | {"loss": round(loss, 4)} | figures)
        logger.info("validation %s", json.dumps(self.progress.curve[-1]))

    @torch.no_grad()
    def _plain_phrases(self, heads: Heads) -> dict[Language, Tensor]:
        """Return the vectors of all queries in their shortest wording."""
        return {
            language: heads.phrases(
                self.phrases[[rows[language][0] for rows in self.vocabulary.rows]]
            )
            for language in LANGUAGES
        }


def learning_rate(step: int, recipe: Recipe) -> float:
    """Return the learning rate: warm-up, constant, then linear to 0.

    A constant rate leaves the number of steps open until the decay begins.
    """
    decay = max(1, round(recipe.decay_share * recipe.steps))
    factor = min(1.0, (step + 1) / recipe.warmup_steps, (recipe.steps - step) / decay)
    return recipe.learning_rate * factor
