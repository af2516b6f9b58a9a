"""The whole training, from nothing to an exported folder; each step resumes where it stopped."""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from transformers import AutoTokenizer, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data import prompt
from sightline.training.vlm.data.album import Record, open_album
from sightline.training.vlm.data.drawing import draw_album
from sightline.training.vlm.data.packing import EMPHASIS, PLACED, QUESTIONS, Composer
from sightline.training.vlm.data.patch_targets import targets_of
from sightline.training.vlm.data.tokenizer import train_tokenizer
from sightline.training.vlm.model.attention_supervision import start_looks
from sightline.training.vlm.model.export import export_model
from sightline.training.vlm.model.llava import SMOKE, Shape, build_model
from sightline.training.vlm.model.oracle_embeddings import Oracle, start_oracle
from sightline.training.vlm.stages.language_model import Pupil, Told, Truths, report, train_stage
from sightline.training.vlm.stages.projector_alignment import Before, align
from sightline.training.vlm.stages.vision_tower import train_tower
from sightline.training.world.core.scene import Split

_log = logging.getLogger(__name__)
#: The share of the training time that each stage gets.
SHARES: Final = {"tower": 0.4, "oracle": 0.23, "align": 0.03, "tune": 0.34}
#: The same for a model that goes on learning: its language model can read already.
GO_ON: Final = {"tower": 0.35, "align": 0.02, "tune": 0.63}
#: The same where its tower is to stay as it was: only what reads it learns.
KEEP_TOWER: Final = {"tower": 0.04, "tune": 0.96}
_TOKENIZER_RECORDS: Final = 4000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train, on how many pictures, for how many minutes altogether."""

    shape: Shape
    pictures: int
    held_out: int
    minutes: float
    crops: float = 0.12
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)


FULL: Final = Recipe(Shape(), pictures=18_000, held_out=450, minutes=82)
#: Few pictures are soon known by heart, so the tower gets less of this time.
QUICK: Final = Recipe(
    SMOKE,
    pictures=400,
    held_out=60,
    minutes=5,
    shares={"tower": 0.25, "oracle": 0.35, "align": 0.03, "tune": 0.37},
)


def train(
    recipe: Recipe,
    folder: Path,
    out: Path,
    device: torch.device,
    seed: int = 0,
    start: Path | None = None,
    *,
    keep_tower: bool = False,
) -> None:
    """Draw, train all stages and export to ``out``; ``folder`` keeps albums and checkpoints.

    With ``start``, a folder that ``export`` wrote, its tokenizer, tower and language model go on
    from there: the tower by itself, then the projector, until it says of what the tower sees now
    what it said before, then everything together. The heads that teach the tower begin anew. With
    ``keep_tower`` they alone learn before everything does.
    """
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[Split, int] = {"train": recipe.pictures, "validation": recipe.held_out}
    for split, count in splits.items():
        if not (folder / split).exists():
            _log.info("drawing %d pictures for %s", count, split)
            draw_album(folder / split, split, count, crops=recipe.crops, edge=recipe.shape.edge)
    squares, records = open_album(folder / "train", recipe.shape.edge)
    held = open_album(folder / "validation", recipe.shape.edge)
    tokenizer = _tokenizer(folder / "tokenizer", records, recipe.shape, start)
    model = build_model(recipe.shape, tokenizer)
    if start is None:
        start_looks(model)
    else:
        model.load_state_dict(weights_of(start, model))
    model = model.to(device)
    before = Before.of(model)
    # Attention over few tokens, written out, takes a third of the fused kernel's way back on CPUs.
    model.set_attn_implementation("eager")
    shares = recipe.shares if start is None else KEEP_TOWER if keep_tower else GO_ON
    seconds = {stage: recipe.minutes * 60 * share for stage, share in shares.items()}

    head, words, targets = train_tower(
        model.model.vision_tower,
        squares,
        records,
        held,
        folder=folder,
        seconds=seconds["tower"],
        side=recipe.shape.side,
        device=device,
        seed=seed,
        fresh=start is None,
        still=keep_tower,
    )
    truths = Truths(head, targets, words.weights)
    lessons = Composer(
        tokenizer,
        records,
        recipe.shape.patches,
        questions=QUESTIONS,
        emphasis=EMPHASIS,
        placed=PLACED,
    )
    held_lessons = Composer(tokenizer, held[1], recipe.shape.patches)
    pupil, examiner = Pupil(model, squares, device), Pupil(model, held[0], device)

    def stage(name: str, told: Told | None, held_told: Told | None) -> None:
        train_stage(
            name,
            replace(pupil, told=told),
            lessons,
            truths,
            (replace(examiner, told=held_told), held_lessons),
            folder=folder,
            seconds=seconds[name],
            seed=seed,
        )

    goal = before.of_pixels
    if start is None:
        oracle = Oracle(words, recipe.shape.text_width).to(device)
        start_oracle(oracle, words, model.get_input_embeddings().weight.cpu(), tokenizer)
        told = Told(oracle, targets)
        stage("oracle", told, Told(oracle, targets_of(held[1], words, recipe.shape.side)))
        goal = told.of_pixels
    if "align" in seconds:
        align(pupil, goal, targets, folder=folder, seconds=seconds["align"], seed=seed)
    stage("tune", None, None)
    report("trained", examiner, held_lessons, packs_a_form=32)
    export_model(model, tokenizer, recipe.shape, out)
    _log.info("written to %s", out)


def curves(folder: Path) -> list[dict[str, object]]:
    """What each finished stage left behind: its name, steps, seconds and loss curve.

    A stage that was gone on with later is found too, as ``STAGE-2.json`` and so on.
    """
    paths = [
        path for s in SHARES for path in sorted(folder.glob(f"{s}*.json"), key=lambda p: p.stem)
    ]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def parameters(model: LlavaForConditionalGeneration) -> int:
    """The number of weights."""
    return sum(weight.numel() for weight in model.parameters())


def weights_of(folder: Path, model: LlavaForConditionalGeneration) -> dict[str, Tensor]:
    """The weights of an exported model, refused where their shapes are not those of ``model``."""
    trained = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    found: dict[str, Tensor] = trained.state_dict()
    wanted = model.state_dict()
    for name, weight in wanted.items():
        if name not in found or found[name].shape != weight.shape:
            there = tuple(found[name].shape) if name in found else "no such weight"
            raise ValueError(
                f"{folder} is of another shape: {name!r} is {there}, not {tuple(weight.shape)}"
            )
    heads = [c.vision_config.num_attention_heads for c in (trained.config, model.config)]
    heads += [c.text_config.num_attention_heads for c in (trained.config, model.config)]
    if heads[0] != heads[1] or heads[2] != heads[3]:
        raise ValueError(f"{folder} has {heads[::2]} attention heads, not {heads[1::2]}")
    return found


def _tokenizer(
    folder: Path, records: list[Record], shape: Shape, start: Path | None
) -> PreTrainedTokenizerFast:
    """The tokenizer of this run: that of ``start``, or learnt from its own texts once."""
    if start is not None and not folder.exists():
        shutil.copytree(start, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.md"))
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
