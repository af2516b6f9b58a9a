"""Complete training run: draw, train all stages, export. Each step can resume."""

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
from sightline.training.vlm.data.packing import BOX_RATE, KIND_WEIGHTS, MAX_QUESTIONS, Packer
from sightline.training.vlm.data.patch_targets import build_targets
from sightline.training.vlm.data.tokenizer import train_tokenizer
from sightline.training.vlm.model.attention_supervision import init_value_copy
from sightline.training.vlm.model.export import export_model
from sightline.training.vlm.model.llava import SMOKE, Shape, build_model
from sightline.training.vlm.model.oracle_embeddings import OracleEmbedding, init_oracle
from sightline.training.vlm.stages.language_model import (
    OracleImages,
    PatchSupervision,
    TrainingModel,
    log_accuracy,
    train_stage,
)
from sightline.training.vlm.stages.projector_alignment import FrozenProjector, align
from sightline.training.vlm.stages.vision_tower import train_tower
from sightline.training.world.core.scene import Split

logger = logging.getLogger(__name__)
#: Share of the training time per stage.
SHARES: Final = {"tower": 0.4, "oracle": 0.23, "align": 0.03, "tune": 0.34}
#: Share per stage when training continues from an exported model.
RESUME_SHARES: Final = {"tower": 0.35, "align": 0.02, "tune": 0.63}
#: Share per stage when the vision tower is kept.
KEEP_TOWER_SHARES: Final = {"tower": 0.04, "tune": 0.96}
_TOKENIZER_RECORDS: Final = 4000


@dataclass(frozen=True, slots=True)
class Recipe:
    """Model size, number of images and total training time."""

    shape: Shape
    images: int
    held_out: int
    minutes: float
    crops: float = 0.12
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)


FULL_RECIPE: Final = Recipe(Shape(), images=18_000, held_out=450, minutes=82)
#: The tower overfits few images quickly, so it gets a smaller share of the time.
SMOKE_RECIPE: Final = Recipe(
    SMOKE,
    images=400,
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
    """Draw, train all stages and export to ``out``.

    ``folder`` stores albums and checkpoints. ``start`` is an exported folder: training continues
    with its tokenizer and weights. First the tower is trained, then the projector is aligned to its
    previous outputs, then everything is trained together. The heads of the tower always start from
    random weights. With ``keep_tower``, only these heads are trained in the first stage.
    """
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[Split, int] = {"train": recipe.images, "validation": recipe.held_out}
    for split, count in splits.items():
        if not (folder / split).exists():
            logger.info("drawing %d images for %s", count, split)
            draw_album(folder / split, split, count, crops=recipe.crops, edge=recipe.shape.edge)
    squares, records = open_album(folder / "train", recipe.shape.edge)
    held_out = open_album(folder / "validation", recipe.shape.edge)
    tokenizer = _tokenizer(folder / "tokenizer", records, recipe.shape, start)
    model = build_model(recipe.shape, tokenizer)
    if start is None:
        init_value_copy(model)
    else:
        model.load_state_dict(load_weights(start, model))
    model = model.to(device)
    frozen_projector = FrozenProjector.of(model)
    # On CPUs, eager attention over few tokens is three times faster in the backward pass.
    model.set_attn_implementation("eager")
    shares = recipe.shares if start is None else KEEP_TOWER_SHARES if keep_tower else RESUME_SHARES
    seconds = {stage: recipe.minutes * 60 * share for stage, share in shares.items()}

    head, vocabulary, targets = train_tower(
        model.model.vision_tower,
        squares,
        records,
        held_out,
        folder=folder,
        seconds=seconds["tower"],
        side=recipe.shape.side,
        device=device,
        seed=seed,
        fresh=start is None,
        frozen=keep_tower,
    )
    patch_supervision = PatchSupervision(head, targets, vocabulary.weights)
    packer = Packer(
        tokenizer,
        records,
        recipe.shape.patches,
        max_questions=MAX_QUESTIONS,
        kind_weights=KIND_WEIGHTS,
        box_rate=BOX_RATE,
    )
    held_out_packer = Packer(tokenizer, held_out[1], recipe.shape.patches)
    training_model = TrainingModel(model, squares, device)
    held_out_model = TrainingModel(model, held_out[0], device)

    def run_stage(
        name: str, oracle_images: OracleImages | None, held_out_oracle: OracleImages | None
    ) -> None:
        train_stage(
            name,
            replace(training_model, oracle=oracle_images),
            packer,
            patch_supervision,
            (replace(held_out_model, oracle=held_out_oracle), held_out_packer),
            folder=folder,
            seconds=seconds[name],
            seed=seed,
        )

    target_embeddings = frozen_projector.embed_pixels
    if start is None:
        oracle = OracleEmbedding(vocabulary, recipe.shape.text_width).to(device)
        init_oracle(oracle, vocabulary, model.get_input_embeddings().weight.cpu(), tokenizer)
        oracle_images = OracleImages(oracle, targets)
        run_stage(
            "oracle",
            oracle_images,
            OracleImages(oracle, build_targets(held_out[1], vocabulary, recipe.shape.side)),
        )
        target_embeddings = oracle_images.embed_pixels
    if "align" in seconds:
        align(
            training_model,
            target_embeddings,
            targets,
            folder=folder,
            seconds=seconds["align"],
            seed=seed,
        )
    run_stage("tune", None, None)
    log_accuracy("trained", held_out_model, held_out_packer, sequences_per_form=32)
    export_model(model, tokenizer, recipe.shape, out)
    logger.info("exported to %s", out)


def load_curves(folder: Path) -> list[dict[str, object]]:
    """Load name, steps, seconds and loss curve of each finished stage.

    Continued stages are stored as ``STAGE-2.json`` and so on.
    """
    paths = [
        path for s in SHARES for path in sorted(folder.glob(f"{s}*.json"), key=lambda p: p.stem)
    ]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def parameters(model: LlavaForConditionalGeneration) -> int:
    """Return the number of weights."""
    return sum(weight.numel() for weight in model.parameters())


def load_weights(folder: Path, model: LlavaForConditionalGeneration) -> dict[str, Tensor]:
    """Load exported weights; raise ``ValueError`` if shapes differ."""
    trained = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    weights: dict[str, Tensor] = trained.state_dict()
    expected = model.state_dict()
    for name, weight in expected.items():
        if name not in weights or weights[name].shape != weight.shape:
            actual = tuple(weights[name].shape) if name in weights else "missing"
            raise ValueError(
                f"Weight {name!r} in {folder} has shape {actual}, expected {tuple(weight.shape)}."
            )
    heads = [c.vision_config.num_attention_heads for c in (trained.config, model.config)]
    heads += [c.text_config.num_attention_heads for c in (trained.config, model.config)]
    if heads[0] != heads[1] or heads[2] != heads[3]:
        raise ValueError(f"{folder} has {heads[::2]} attention heads, expected {heads[1::2]}.")
    return weights


def _tokenizer(
    folder: Path, records: list[Record], shape: Shape, start: Path | None
) -> PreTrainedTokenizerFast:
    """Load the tokenizer of this run; copy it from ``start`` or train it first."""
    if start is not None and not folder.exists():
        shutil.copytree(start, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.md"))
    if not folder.exists():
        chosen = random.Random(0).sample(records, min(len(records), _TOKENIZER_RECORDS))
        frame = f"{prompt.SYSTEM} Picture 1: Passage 2: Question: {prompt.YES_OR_NO}"
        texts = chain(
            *(
                [
                    *(text for qa in r.questions for text in (qa.question, qa.answer)),
                    *(text for text, _ in r.texts),
                    *r.captions,
                    frame,
                ]
                for r in chosen
            )
        )
        train_tokenizer(texts, shape.vocabulary).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TypeError(f"{folder} does not contain a fast tokenizer.")
    return tokenizer
