"""Stages 1 to 3: the language model learns to answer, first from lists, then from pictures.

1. ``listing``: the Llama alone, on questions about pictures that are written out as text. This is
   the language model that LLaVA takes as given.
2. ``align``: the projector alone, the Llama frozen (LLaVA's first stage).
3. ``tune``: everything, on all forms of the prompt (LLaVA's second stage, the tower unfrozen as in
   its later versions have it). The tower keeps learning the truth of patches beside, so that it
   goes on seeing what no question in sight asks for.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration

from sightline.training.vlm.album import Squares
from sightline.training.vlm.course import Course
from sightline.training.vlm.dense import DenseHead, Targets, dense_loss
from sightline.training.vlm.looks import LAYER, look_loss
from sightline.training.vlm.packs import FORMS, Batch, Composer, Form, collate
from sightline.training.vlm.tokenizer import STEPS, coordinate_ids
from sightline.training.vlm.tower import features_of, pixels

_log = logging.getLogger(__name__)
#: Learning rate of each stage.
RATES: Final = {"listing": 1.5e-3, "align": 2e-3, "tune": 1e-3}
_SLOWER: Final = {"tower": 0.12, "truths": 0.3}
#: Pictures a batch, and for how much of a stage simple pictures come first.
BATCH: Final = 4
_EASY: Final = 0.35
_SIMPLEST: Final = 0.3
#: How far off, in hundredths of the square, a coordinate is still partly right in training.
_BLUR: Final = 1.5
#: The weight of the truth of patches beside that of answers.
_DENSE: Final = 0.06
#: The weight of looking where the answer is.
_LOOK: Final = 1.0
_IGNORE: Final = -100
_PROBE_EVERY: Final = 800


@dataclass(frozen=True, slots=True)
class Read:
    """What the language model made of a batch, (batch, length, width): its last states, those that
    enter the layer that is shown where to look, and what the tower saw (pictures, patches, width),
    if there were pictures.
    """

    last: Tensor
    entering: Tensor
    seen: Tensor | None


@dataclass(frozen=True)
class Pupil:
    """The model in training, with the squares of its album; without, it reads text alone."""

    model: LlavaForConditionalGeneration
    squares: Squares | None
    device: torch.device

    def read(self, batch: Batch) -> Read:
        """Read a batch, looking at its pictures."""
        seen: Tensor | None = None
        ids = batch.ids.to(self.device)
        embeds = self.model.get_input_embeddings()(ids)
        if batch.rows and self.squares is not None:
            values = pixels(self.squares[batch.rows], self.device)
            seen = features_of(self.model.model.vision_tower, values)
            images = self.model.model.multi_modal_projector(seen).to(embeds.dtype)
            places = (ids == self.model.config.image_token_id)[..., None]
            embeds = embeds.masked_scatter(places, images)
        output = self.model.model.language_model(
            inputs_embeds=embeds,
            attention_mask=batch.mask.to(self.device),
            position_ids=batch.positions.to(self.device),
            use_cache=False,
            output_hidden_states=True,
        )
        return Read(output.last_hidden_state, output.hidden_states[LAYER], seen)


@dataclass(frozen=True)
class Truths:
    """The tower's own lesson: the head that reads it, and the truth of every patch of the album."""

    head: DenseHead
    targets: Targets

    def loss(self, seen: Tensor, rows: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """The dense loss of what the tower saw of ``rows``."""
        classes, boxes = self.head(seen)
        truth = torch.from_numpy(self.targets.classes[rows].astype(np.int64)).to(seen.device)
        corners = torch.from_numpy(self.targets.boxes[rows]).to(seen.device)
        return dense_loss(classes, boxes, truth, corners)


def train_stage(
    name: str,
    pupil: Pupil,
    composer: Composer,
    truths: Truths,
    probe: tuple[Pupil, Composer] | None,
    *,
    folder: Path,
    seconds: float,
    seed: int = 0,
) -> None:
    """Run one stage for ``seconds``; ``probe`` is what the held-out figures are taken from."""
    model = pupil.model
    language, projector = model.model.language_model, model.model.multi_modal_projector
    trained = {
        "listing": {"language": language, "head": model.lm_head},
        "align": {"projector": projector},
        "tune": {
            "projector": projector,
            "language": language,
            "head": model.lm_head,
            "tower": model.model.vision_tower,
            "truths": truths.head,
        },
    }[name]
    model.requires_grad_(requires_grad=False)
    for module in trained.values():
        module.requires_grad_(requires_grad=True)
    runs = coordinate_ids(composer.tokenizer)
    course = Course(name, folder, seconds, RATES[name], trained, _SLOWER)
    rng = random.Random(f"{name}/{seed}/{course.step}")
    forms = list(FORMS)
    for step in course.steps():
        easy = min(1.0, course.progress / _EASY) if name != "align" else 0.0
        reach = _SIMPLEST + (1 - _SIMPLEST) * easy
        # One form a batch, so that little of it is padding.
        form: Form = rng.choices(forms, [FORMS[f] for f in forms])[0]
        if name == "align":
            form = rng.choice(("plain", "picture"))
        size = BATCH if form != "several" else BATCH * 5 // 8
        packs = [composer.compose(rng, form, reach) for _ in range(size)]
        packs = [pack for pack in packs if pack.segments]
        if not packs:
            continue
        batch = collate(packs, composer.tokenizer.pad_token_id)
        with torch.autocast(pupil.device.type, torch.bfloat16):
            read = pupil.read(batch)
            loss, right = answer_loss(model, read.last, batch.labels.to(pupil.device), runs)
            figures = {"tokens right": right}
            if name == "tune" and read.seen is not None:
                dense, sight = truths.loss(read.seen, batch.rows)
                loss = loss + _DENSE * dense
                figures |= sight
                look = look_loss(model, read.entering, packs, batch, runs)
                if look is not None:
                    loss = loss + _LOOK * look
                    figures["look"] = float(look.detach())
        course.learn(loss, figures)
        if probe is not None and step % _PROBE_EVERY == _PROBE_EVERY - 1:
            report(name, *probe)
    course.write_curve()


def answer_loss(
    model: LlavaForConditionalGeneration, hidden: Tensor, labels: Tensor, runs: Sequence[int]
) -> tuple[Tensor, float]:
    """Cross entropy on the asked tokens; a coordinate's neighbours share its target."""
    asked = labels != _IGNORE
    target = labels[asked]
    logits = model.lm_head(hidden[asked]).float()
    right = float((logits.argmax(-1) == target).float().mean())
    losses = cross_entropy(logits, target, reduction="none")
    logs = logits.log_softmax(-1)
    steps = torch.arange(STEPS, device=logits.device)
    for first in runs:
        inside = (target >= first) & (target < first + STEPS)
        if bool(inside.any()):
            gap = (steps - (target[inside] - first)[:, None]).float() / _BLUR
            soft = torch.exp(-0.5 * gap * gap)
            soft = soft / soft.sum(-1, keepdim=True)
            losses[inside] = -(soft * logs[inside, first : first + STEPS]).sum(-1)
    return losses.mean(), right


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
