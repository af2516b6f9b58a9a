"""Stages 1 and 3: train the language model on oracle embeddings, then images.

1. ``oracle``: train the Llama on all prompt forms with oracle embeddings instead of images. In the
   LLaVA paper, this is the pretrained language model.
2. ``align``: train only the projector to produce oracle embeddings (``projector_alignment``).
3. ``tune``: train everything on all prompt forms (second stage of LLaVA). The tower is frozen at
   first. Later it is trained too, with the patch loss, so that it keeps features that no current
   question needs.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration

from sightline.training.vlm.data.album import Squares
from sightline.training.vlm.data.batches import Batch, collate
from sightline.training.vlm.data.packing import FORMS, Form, Packer
from sightline.training.vlm.data.patch_targets import PatchHead, PatchTargets, compute_patch_loss
from sightline.training.vlm.data.tokenizer import STEPS, coordinate_ids
from sightline.training.vlm.model import packed_forward
from sightline.training.vlm.model.attention_supervision import (
    SUPERVISED_LAYER,
    attention_loss,
    previous_token_loss,
)
from sightline.training.vlm.model.oracle_embeddings import OracleEmbedding
from sightline.training.vlm.stages.stage_trainer import StageTrainer
from sightline.training.vlm.stages.vision_tower import to_pixel_values, tower_features

logger = logging.getLogger(__name__)
_RATE_SCALES: Final = {"tower": 0.3, "patch_head": 0.3}
#: Images per batch; curriculum length (share of a stage) and initial share of simple images.
BATCH: Final = 8
_CURRICULUM: Final = 0.35
_MIN_SHARE: Final = 0.3
#: Standard deviation of soft coordinate targets, in hundredths of the square.
_SOFT_TARGET_STD: Final = 1.5
#: Weight of the patch loss.
_PATCH_WEIGHT: Final = 0.05
#: Weights of the attention loss and the previous-token loss.
_ATTENTION_WEIGHT: Final = 0.5
_PREVIOUS_WEIGHT: Final = 0.2
#: Attention is supervised in every second step, because that takes a third of a step.
_ATTENTION_INTERVAL_STEPS: Final = 2
#: Share of ``tune`` with a frozen tower.
_FROZEN_SHARE: Final = 0.6
#: Weight of a coordinate token in location answers and in evidence boxes. A box has four tokens, a
#: text answer often only one.
_LOCATION_WEIGHT: Final = 0.5
_EVIDENCE_WEIGHT: Final = 0.25
_IGNORE: Final = -100
_PROBE_INTERVAL_STEPS: Final = 400


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """Tensors of a forward pass.

    ``last`` (final states), ``embeds`` (input embeddings) and ``layer_input`` (input of the
    supervised layer) are (batch, length, width). ``image_features`` are (images, patches, width).
    """

    last: Tensor
    embeds: Tensor
    layer_input: Tensor
    image_features: Tensor | None


@dataclass(frozen=True)
class TrainingModel:
    """Model and images; ``oracle`` replaces the images by oracle embeddings.

    ``features`` are the outputs of a tower that is not trained, by row; None if it is.
    """

    model: LlavaForConditionalGeneration
    squares: Squares
    device: torch.device
    oracle: OracleImages | None = None
    features: dict[int, Tensor] | None = None

    def forward(self, batch: Batch, *, frozen: bool = False) -> ForwardResult:
        """Run a batch; ``frozen`` disables gradients of the tower."""
        features: Tensor | None = None
        ids = batch.ids.to(self.device)
        embeds = self.model.get_input_embeddings()(ids)
        if batch.rows:
            if self.oracle is not None:
                images = self.oracle.embed(batch.rows, self.device)
            else:
                with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                    features = self._tower_features(batch.rows)
                images = self.model.model.multi_modal_projector(features)
            is_image = (ids == self.model.config.image_token_id)[..., None]
            embeds = embeds.masked_scatter(is_image, images.to(embeds.dtype))
        states = packed_forward.forward(self.model.model.language_model, embeds, batch)
        return ForwardResult(states[-1], embeds, states[SUPERVISED_LAYER], features)

    def _tower_features(self, rows: Sequence[int]) -> Tensor:
        """Return the features (images, patches, width) of the images ``rows``."""
        tower, kept = self.model.model.vision_tower, self.features
        missing = list(rows) if kept is None else [row for row in set(rows) if row not in kept]
        if missing:
            found = tower_features(tower, to_pixel_values(self.squares[missing], self.device))
            if kept is None:
                return found
            kept.update(zip(missing, found.detach().bfloat16(), strict=True))
        return torch.stack([(kept or {})[row] for row in rows]).float()


@dataclass(frozen=True)
class OracleImages:
    """Oracle embeddings of the images of an album."""

    embedding: OracleEmbedding
    targets: PatchTargets

    def embed(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """Return embeddings (images, patches, width)."""
        embeddings: Tensor = self.embedding(*self.targets.tensors(rows, device))
        return embeddings

    def embed_pixels(self, rows: Sequence[int], values: Tensor) -> Tensor:
        """Return embeddings in evaluation mode, for ``align``."""
        self.embedding.eval()
        return self.embed(rows, values.device)


@dataclass(frozen=True)
class PatchSupervision:
    """Patch loss of the tower: its head and the targets of the album."""

    head: PatchHead
    targets: PatchTargets
    weights: Sequence[float]

    def loss(self, features: Tensor, rows: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the patch loss and metrics for features of ``rows``."""
        classes, boxes = self.head(features)
        truth, corners = self.targets.tensors(rows, features.device)
        return compute_patch_loss(classes, boxes, truth, corners, self.weights)


def train_stage(
    name: str,
    training_model: TrainingModel,
    packer: Packer,
    patch_supervision: PatchSupervision | None,
    probe: tuple[TrainingModel, Packer],
    *,
    folder: Path,
    seconds: float,
    rate: float,
    seed: int = 0,
) -> None:
    """Train ``oracle`` or ``tune``; ``probe`` is for held-out metrics, ``rate`` the learning rate.

    Without ``patch_supervision`` the tower is never trained.
    """
    model = training_model.model
    trained: dict[str, nn.Module] = {
        "language": model.model.language_model,
        "head": model.lm_head,
    }
    if training_model.oracle is not None:
        trained["oracle"] = training_model.oracle.embedding
    else:
        trained["projector"] = model.model.multi_modal_projector
        if patch_supervision is not None:
            trained["tower"] = model.model.vision_tower
            trained["patch_head"] = patch_supervision.head
    train_only(model, trained)
    runs = coordinate_ids(packer.tokenizer)
    trainer = StageTrainer(name, folder, seconds, rate, trained, _RATE_SCALES)
    rng = random.Random(f"{name}/{seed}/{trainer.step}")
    forms = list(FORMS)
    for step in trainer.steps():
        progress = (
            min(1.0, trainer.progress / _CURRICULUM) if training_model.oracle is not None else 1.0
        )
        share = _MIN_SHARE + (1 - _MIN_SHARE) * progress
        # One form per batch, to reduce padding.
        form: Form = rng.choices(forms, [FORMS[f] for f in forms])[0]
        size = BATCH if form != "several" else BATCH * 5 // 8
        sequences = [packer.sample_sequence(rng, form, share) for _ in range(size)]
        sequences = [sequence for sequence in sequences if sequence.segments]
        if not sequences:
            continue
        batch = collate(sequences, packer.tokenizer.pad_token_id)
        with torch.autocast(training_model.device.type, torch.bfloat16):
            frozen = patch_supervision is None or trainer.progress < _FROZEN_SHARE
            result = training_model.forward(batch, frozen=frozen)
            loss, accuracy = answer_loss(model, result.last, batch, runs)
            metrics = {"word accuracy": accuracy, "answers": float(loss.detach())}
            if result.image_features is not None and not frozen and patch_supervision is not None:
                patch_loss, patch_metrics = patch_supervision.loss(
                    result.image_features, batch.rows
                )
                loss = loss + _PATCH_WEIGHT * patch_loss
                metrics |= patch_metrics
            previous = previous_token_loss(model, result.embeds, batch)
            loss = loss + _PREVIOUS_WEIGHT * previous
            metrics["previous"] = float(previous.detach())
            attention = None
            if step % _ATTENTION_INTERVAL_STEPS == 0:
                attention = attention_loss(
                    model, result.layer_input, sequences, batch, packer.tokenizer
                )
            if attention is not None:
                loss = loss + _ATTENTION_WEIGHT * attention
                metrics["attention"] = float(attention.detach())
        trainer.update(loss, metrics)
        if step % _PROBE_INTERVAL_STEPS == _PROBE_INTERVAL_STEPS - 1:
            log_accuracy(name, *probe)
    trainer.write_curve()


def train_only(model: nn.Module, trained: Mapping[str, nn.Module]) -> None:
    """Enable gradients only for the modules in ``trained``."""
    model.requires_grad_(requires_grad=False)
    for module in trained.values():
        module.requires_grad_(requires_grad=True)


def answer_loss(
    model: LlavaForConditionalGeneration, hidden: Tensor, batch: Batch, runs: Sequence[int]
) -> tuple[Tensor, float]:
    """Return the answer loss and word accuracy; coordinates have soft targets.

    ``hidden`` (batch, length, width) are the final states. The accuracy excludes coordinates.
    """
    is_answer = batch.labels != _IGNORE
    target = batch.labels[is_answer].to(hidden.device)
    logits = model.lm_head(hidden[is_answer.to(hidden.device)]).float()
    losses = cross_entropy(logits, target, reduction="none")
    logs = logits.log_softmax(-1)
    steps = torch.arange(STEPS, device=logits.device)
    word = torch.ones_like(target, dtype=torch.bool)
    for first in runs:
        inside = (target >= first) & (target < first + STEPS)
        word &= ~inside
        if bool(inside.any()):
            gap = (steps - (target[inside] - first)[:, None]).float() / _SOFT_TARGET_STD
            soft = torch.exp(-0.5 * gap * gap)
            soft = soft / soft.sum(-1, keepdim=True)
            losses[inside] = -(soft * logs[inside, first : first + STEPS]).sum(-1)
    coordinate = torch.full(is_answer.shape, _EVIDENCE_WEIGHT)
    for kind, row, start, end in batch.spans:
        if kind == "location":
            coordinate[row, start:end] = _LOCATION_WEIGHT
    weights = torch.where(word, 1.0, coordinate[is_answer].to(logits.device))
    accuracy = (logits.argmax(-1) == target)[word].float().mean()
    return (losses * weights).sum() / weights.sum(), float(accuracy)


@torch.no_grad()
def packed_accuracy(
    training_model: TrainingModel, packer: Packer, sequences_per_form: int, seed: int = 1
) -> dict[str, dict[str, float]]:
    """Return the share of exact answers by form and kind.

    One forward pass is enough: a greedy answer is exact if each token is the best guess after the
    true previous tokens. Coordinates are correct within 0.03.
    """
    runs = coordinate_ids(packer.tokenizer)
    metrics: dict[str, dict[str, float]] = {}
    rng = random.Random(seed)
    for form in FORMS:
        hits: dict[str, list[float]] = defaultdict(list)
        for _ in range(0, sequences_per_form, BATCH):
            sequences = [packer.sample_sequence(rng, form) for _ in range(BATCH)]
            batch = collate([p for p in sequences if p.segments], packer.tokenizer.pad_token_id)
            with torch.autocast(training_model.device.type, torch.bfloat16):
                guess = (
                    training_model.model.lm_head(training_model.forward(batch).last)
                    .argmax(-1)
                    .cpu()
                )
            correct = guess == batch.labels
            for first in runs:
                both = [(t >= first) & (t < first + STEPS) for t in (guess, batch.labels)]
                correct |= both[0] & both[1] & ((guess - batch.labels).abs() <= 3)
            for kind, row, start, end in batch.spans:
                hits[kind].append(float(correct[row, start:end].all()))
        metrics[form] = {kind: sum(v) / len(v) for kind, v in sorted(hits.items())}
    return metrics


def log_accuracy(
    name: str, training_model: TrainingModel, packer: Packer, sequences_per_form: int = 16
) -> None:
    """Log ``packed_accuracy``."""
    for form, metrics in packed_accuracy(training_model, packer, sequences_per_form).items():
        text = " ".join(f"{kind} {value:.2f}" for kind, value in metrics.items())
        logger.info("%s, held out, %s: %s", name, form, text)
