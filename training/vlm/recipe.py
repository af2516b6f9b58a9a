"""The whole training, from nothing to an exported folder; each step resumes where it stopped."""

from __future__ import annotations

import json
import logging
import random
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import torch
from transformers import AutoTokenizer, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm import prompt
from sightline.training.vlm.album import Record, open_album
from sightline.training.vlm.drawing import draw_album
from sightline.training.vlm.export import export_model
from sightline.training.vlm.language import Pupil, Truths, report, train_stage
from sightline.training.vlm.model import SMOKE, Shape, build_model
from sightline.training.vlm.packs import Composer
from sightline.training.vlm.projector import start_projector
from sightline.training.vlm.tokenizer import train_tokenizer
from sightline.training.vlm.tower import glance, train_tower
from sightline.training.world.scene import Split

_log = logging.getLogger(__name__)
#: The share of the training time that each stage gets.
SHARES: Final = {"tower": 0.37, "listing": 0.1, "align": 0.03, "tune": 0.5}
_TOKENIZER_RECORDS: Final = 4000
_GLANCE: Final = 512


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train, on how many pictures, for how many minutes altogether."""

    shape: Shape
    pictures: int
    held_out: int
    minutes: float
    crops: float = 0.12


FULL: Final = Recipe(Shape(), pictures=9_000, held_out=300, minutes=85)
QUICK: Final = Recipe(SMOKE, pictures=400, held_out=60, minutes=4)


def train(recipe: Recipe, folder: Path, out: Path, device: torch.device, seed: int = 0) -> None:
    """Draw, train all stages and export to ``out``; ``folder`` keeps albums and checkpoints."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[Split, int] = {"train": recipe.pictures, "validation": recipe.held_out}
    for split, count in splits.items():
        if not (folder / split).exists():
            _log.info("drawing %d pictures for %s", count, split)
            draw_album(folder / split, split, count, crops=recipe.crops, edge=recipe.shape.edge)
    squares, records = open_album(folder / "train", recipe.shape.edge)
    held_squares, held_records = open_album(folder / "validation", recipe.shape.edge)
    tokenizer = _tokenizer(folder / "tokenizer", records, recipe.shape)
    model = build_model(recipe.shape, tokenizer).to(device)
    tower = model.model.vision_tower
    seconds = {stage: recipe.minutes * 60 * share for stage, share in SHARES.items()}

    head, words, targets = train_tower(
        tower,
        squares,
        records,
        folder=folder,
        seconds=seconds["tower"],
        side=recipe.shape.side,
        device=device,
        seed=seed,
    )
    truths = Truths(head, targets)
    patches = recipe.shape.patches
    lists = Composer(tokenizer, records, patches, listing=True)
    lessons = Composer(tokenizer, records, patches)
    held_lists = Composer(tokenizer, held_records, patches, listing=True)
    held_lessons = Composer(tokenizer, held_records, patches)
    reader, pupil = Pupil(model, None, device), Pupil(model, squares, device)
    examiner = Pupil(model, held_squares, device)

    def stage(name: str, learner: Pupil, composer: Composer, probe: tuple[Pupil, Composer]) -> None:
        train_stage(
            name, learner, composer, truths, probe, folder=folder, seconds=seconds[name], seed=seed
        )

    stage("listing", reader, lists, (reader, held_lists))
    if not (folder / "align.pt").exists():
        sample = glance(tower, squares, _GLANCE, device)
        start_projector(model, head, words, tokenizer, sample)
    stage("align", pupil, lessons, (examiner, held_lessons))
    stage("tune", pupil, lessons, (examiner, held_lessons))
    report("trained", examiner, held_lessons, packs_a_form=32)
    export_model(model, tokenizer, recipe.shape, out)
    _log.info("written to %s", out)


def curves(folder: Path) -> list[dict[str, object]]:
    """What each finished stage left behind: its name, steps, seconds and loss curve."""
    found = []
    for stage in SHARES:
        path = folder / f"{stage}.json"
        if path.exists():
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return found


def parameters(model: LlavaForConditionalGeneration) -> int:
    """The number of weights."""
    return sum(weight.numel() for weight in model.parameters())


def _tokenizer(folder: Path, records: list[Record], shape: Shape) -> PreTrainedTokenizerFast:
    """The tokenizer of this run, learnt from its own texts once."""
    if not folder.exists():
        chosen = random.Random(0).sample(records, min(len(records), _TOKENIZER_RECORDS))
        frame = f"{prompt.SYSTEM} Picture 1: Passage 2: Question: {prompt.YES_OR_NO}"
        texts = chain(
            *(
                [
                    *(text for ask in r.asks for text in (ask.question, ask.answer)),
                    *(text for text, _ in r.readings),
                    *r.captions,
                    frame,
                ]
                for r in chosen
            )
        )
        train_tokenizer(texts, shape.vocabulary).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TypeError(f"{folder} holds no fast tokenizer")
    return tokenizer
