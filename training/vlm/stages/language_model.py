"""Stages 1 and 3: the language model learns to answer, first with perfect eyes, then with its own.

1. ``oracle``: the Llama, on all forms of the prompt, told what every patch shows (see ``oracle``).
   This is the language model that LLaVA takes as given.
2. ``align``: the projector alone learns to say what the oracle says (see ``aligning``).
3. ``tune``: everything, on all forms of the prompt (LLaVA's second stage). The tower stays as it is
   at first and then learns too, as later versions have it; it keeps learning the truth of patches
   beside, so that it goes on seeing what no question in sight asks for.
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
from sightline.training.vlm.data.packing import FORMS, Composer, Form
from sightline.training.vlm.data.patch_targets import DenseHead, Targets, dense_loss
from sightline.training.vlm.data.tokenizer import STEPS, coordinate_ids
from sightline.training.vlm.model import packed_forward
from sightline.training.vlm.model.attention_supervision import LAYER, look_loss, previous_loss
from sightline.training.vlm.model.oracle_embeddings import Oracle
from sightline.training.vlm.stages.stage_trainer import Course
from sightline.training.vlm.stages.vision_tower import features_of, pixels

_log = logging.getLogger(__name__)
#: Learning rate of each stage.
RATES: Final = {"oracle": 2e-3, "tune": 8e-4}
_SLOWER: Final = {"tower": 0.3, "truths": 0.3}
#: Pictures a batch, and for how much of a stage simple pictures come first.
BATCH: Final = 8
_EASY: Final = 0.35
_SIMPLEST: Final = 0.3
#: How far off, in hundredths of the square, a coordinate is still partly right in training.
_BLUR: Final = 1.5
#: The weight of the truth of patches beside that of answers.
_DENSE: Final = 0.05
#: The weights of looking where the answer is and of knowing the token before.
_LOOK: Final = 0.5
_PREVIOUS: Final = 0.2
#: For how much of ``tune`` the tower stays as it is: reading it is what takes longest to learn.
_STILL: Final = 0.6
#: The weight of a coordinate, where the box is asked for and where it is evidence: a box has four
#: of them, an answer in words is often a single token.
_ASKED_FOR: Final = 0.5
_EVIDENCE: Final = 0.25
_IGNORE: Final = -100
_PROBE_EVERY: Final = 400


@dataclass(frozen=True, slots=True)
class Read:
    """What the language model made of a batch, (batch, length, width): its last states, what it was
    given, what enters the layer that is shown where to look, and what the tower saw (pictures,
    patches, width), if there were pictures.
    """

    last: Tensor
    embeds: Tensor
    entering: Tensor
    seen: Tensor | None


@dataclass(frozen=True)
class Pupil:
    """The model in training and the squares that it sees; with ``told``, it is told instead."""

    model: LlavaForConditionalGeneration
    squares: Squares
    device: torch.device
    told: Told | None = None

    def read(self, batch: Batch, *, still: bool = False) -> Read:
        """Read a batch, looking at its pictures; a ``still`` tower does not learn from it."""
        seen: Tensor | None = None
        ids = batch.ids.to(self.device)
        embeds = self.model.get_input_embeddings()(ids)
        if batch.rows:
            if self.told is not None:
                images = self.told.of(batch.rows, self.device)
            else:
                values = pixels(self.squares[batch.rows], self.device)
                with torch.set_grad_enabled(torch.is_grad_enabled() and not still):
                    seen = features_of(self.model.model.vision_tower, values)
                images = self.model.model.multi_modal_projector(seen)
            places = (ids == self.model.config.image_token_id)[..., None]
            embeds = embeds.masked_scatter(places, images.to(embeds.dtype))
        states = packed_forward.read(self.model.model.language_model, embeds, batch)
        return Read(states[-1], embeds, states[LAYER], seen)


@dataclass(frozen=True)
class Told:
    """What the oracle says of an album's pictures."""

    oracle: Oracle
    targets: Targets

    def of(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """(pictures, patches, width)."""
        said: Tensor = self.oracle(*self.targets.tensors(rows, device))
        return said

    def of_pixels(self, rows: Sequence[int], values: Tensor) -> Tensor:
        """The same, for ``align``: nothing left out."""
        self.oracle.eval()
        return self.of(rows, values.device)


@dataclass(frozen=True)
class Truths:
    """The tower's own lesson: the head that reads it, and the truth of every patch of the album."""

    head: DenseHead
    targets: Targets
    weights: Sequence[float]

    def loss(self, seen: Tensor, rows: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """The dense loss of what the tower saw of ``rows``."""
        classes, boxes = self.head(seen)
        truth, corners = self.targets.tensors(rows, seen.device)
        return dense_loss(classes, boxes, truth, corners, self.weights)


def train_stage(
    name: str,
    pupil: Pupil,
    composer: Composer,
    truths: Truths,
    probe: tuple[Pupil, Composer],
    *,
    folder: Path,
    seconds: float,
    seed: int = 0,
) -> None:
    """Run ``oracle`` or ``tune`` for ``seconds``; ``probe`` gives held-out figures on the way."""
    model = pupil.model
    trained: dict[str, nn.Module] = {
        "language": model.model.language_model,
        "head": model.lm_head,
    }
    if pupil.told is not None:
        trained["oracle"] = pupil.told.oracle
    else:
        trained["projector"] = model.model.multi_modal_projector
        trained["tower"] = model.model.vision_tower
        trained["truths"] = truths.head
    only(model, trained)
    runs = coordinate_ids(composer.tokenizer)
    course = Course(name, folder, seconds, RATES[name], trained, _SLOWER)
    rng = random.Random(f"{name}/{seed}/{course.step}")
    forms = list(FORMS)
    for step in course.steps():
        easy = min(1.0, course.progress / _EASY) if pupil.told is not None else 1.0
        reach = _SIMPLEST + (1 - _SIMPLEST) * easy
        # One form a batch, so that little of it is padding.
        form: Form = rng.choices(forms, [FORMS[f] for f in forms])[0]
        size = BATCH if form != "several" else BATCH * 5 // 8
        packs = [composer.compose(rng, form, reach) for _ in range(size)]
        packs = [pack for pack in packs if pack.segments]
        if not packs:
            continue
        batch = collate(packs, composer.tokenizer.pad_token_id)
        with torch.autocast(pupil.device.type, torch.bfloat16):
            still = course.progress < _STILL
            read = pupil.read(batch, still=still)
            loss, right = answer_loss(model, read.last, batch, runs)
            figures = {"words right": right, "answers": float(loss.detach())}
            if read.seen is not None and not still:
                dense, sight = truths.loss(read.seen, batch.rows)
                loss = loss + _DENSE * dense
                figures |= sight
            previous = previous_loss(model, read.embeds, batch)
            loss = loss + _PREVIOUS * previous
            figures["previous"] = float(previous.detach())
            look = look_loss(model, read.entering, packs, batch, composer.tokenizer)
            if look is not None:
                loss = loss + _LOOK * look
                figures["look"] = float(look.detach())
        course.learn(loss, figures)
        if step % _PROBE_EVERY == _PROBE_EVERY - 1:
            report(name, *probe)
    course.write_curve()


def only(model: nn.Module, trained: Mapping[str, nn.Module]) -> None:
    """Let ``trained`` learn and nothing else of ``model``."""
    model.requires_grad_(requires_grad=False)
    for module in trained.values():
        module.requires_grad_(requires_grad=True)


def answer_loss(
    model: LlavaForConditionalGeneration, hidden: Tensor, batch: Batch, runs: Sequence[int]
) -> tuple[Tensor, float]:
    """Cross entropy on the asked tokens; a coordinate's neighbours share its target.

    ``hidden`` (batch, length, width) are the last states. Returns it and the share of words told
    rightly, coordinates left out.
    """
    asked = batch.labels != _IGNORE
    target = batch.labels[asked].to(hidden.device)
    logits = model.lm_head(hidden[asked.to(hidden.device)]).float()
    losses = cross_entropy(logits, target, reduction="none")
    logs = logits.log_softmax(-1)
    steps = torch.arange(STEPS, device=logits.device)
    word = torch.ones_like(target, dtype=torch.bool)
    for first in runs:
        inside = (target >= first) & (target < first + STEPS)
        word &= ~inside
        if bool(inside.any()):
            gap = (steps - (target[inside] - first)[:, None]).float() / _BLUR
            soft = torch.exp(-0.5 * gap * gap)
            soft = soft / soft.sum(-1, keepdim=True)
            losses[inside] = -(soft * logs[inside, first : first + STEPS]).sum(-1)
    coordinate = torch.full(asked.shape, _EVIDENCE)
    for kind, row, start, end in batch.spans:
        if kind == "location":
            coordinate[row, start:end] = _ASKED_FOR
    weights = torch.where(word, 1.0, coordinate[asked].to(logits.device))
    right = (logits.argmax(-1) == target)[word].float().mean()
    return (losses * weights).sum() / weights.sum(), float(right)


@torch.no_grad()
def packed_figures(
    pupil: Pupil, composer: Composer, packs_a_form: int, seed: int = 1
) -> dict[str, dict[str, float]]:
    """Exact answers, by form and kind, over packs of a held-out album.

    A greedy answer equals the true one exactly when every token's best guess, given the true tokens
    before it, is the true one; so one pass tells. Coordinates count as right within 0.03.
    """
    runs = coordinate_ids(composer.tokenizer)
    figures: dict[str, dict[str, float]] = {}
    rng = random.Random(seed)
    for form in FORMS:
        hits: dict[str, list[float]] = defaultdict(list)
        for _ in range(0, packs_a_form, BATCH):
            packs = [composer.compose(rng, form) for _ in range(BATCH)]
            batch = collate([p for p in packs if p.segments], composer.tokenizer.pad_token_id)
            with torch.autocast(pupil.device.type, torch.bfloat16):
                guess = pupil.model.lm_head(pupil.read(batch).last).argmax(-1).cpu()
            good = guess == batch.labels
            for first in runs:
                both = [(t >= first) & (t < first + STEPS) for t in (guess, batch.labels)]
                good |= both[0] & both[1] & ((guess - batch.labels).abs() <= 3)
            for kind, row, start, end in batch.spans:
                hits[kind].append(float(good[row, start:end].all()))
        figures[form] = {kind: sum(v) / len(v) for kind, v in sorted(hits.items())}
    return figures


def report(name: str, pupil: Pupil, composer: Composer, packs_a_form: int = 16) -> None:
    """Log ``packed_figures``."""
    for form, figures in packed_figures(pupil, composer, packs_a_form).items():
        shown = " ".join(f"{kind} {value:.2f}" for kind, value in figures.items())
        _log.info("%s, held out, %s: %s", name, form, shown)
