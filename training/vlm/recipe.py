"""Complete training run: draw, train all stages, export. Each step can resume."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
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
from sightline.training.vlm.data.vocabulary_growth import AddedToken, grow_rows, grow_tokenizer
from sightline.training.vlm.data.wordings.rephrase import Wordings
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
from sightline.training.world.core.scene import LANGUAGES, Split

logger = logging.getLogger(__name__)
#: Share of the training time per stage.
SHARES: Final = {"tower": 0.4, "oracle": 0.23, "align": 0.03, "tune": 0.34}
#: Share per stage when training continues from an exported model.
RESUME_SHARES: Final = {"tower": 0.35, "align": 0.02, "tune": 0.63}
#: Share per stage when the vision tower is kept.
KEEP_TOWER_SHARES: Final = {"tune": 1.0}
_ORACLE_RATE: Final = 2e-3
#: Number of tokens up to which a tokenizer grows by the words of other wordings, the number of
#: records that they are chosen from, and the file with the added tokens.
_VOCABULARY: Final = 3500
_REWORDED_RECORDS: Final = 3000
_ADDED: Final = "grown_vocabulary.json"
_TOKENIZER_RECORDS: Final = 4000


@dataclass(frozen=True, slots=True)
class Recipe:
    """Model size, number of images and total training time."""

    shape: Shape
    images: int
    held_out: int
    minutes: float
    crops: float = 0.12
    #: Learning rate of the stage ``tune``.
    tune_rate: float = 8e-4
    #: Share of questions in other wordings than those of the generator.
    reworded: float = 0.75
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
    random weights. With ``keep_tower``, the tower is not trained. If the tokenizer of ``start`` was
    trained without other wordings, it grows by their words.
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
    wordings = Wordings.load(recipe.reworded)
    tokenizer = _tokenizer(folder / "tokenizer", records, recipe.shape, start, wordings)
    model = build_model(recipe.shape, tokenizer)
    if start is None:
        init_value_copy(model)
    else:
        model.load_state_dict(load_weights(start, model, _added_tokens(folder / "tokenizer")))
    model = model.to(device)
    frozen_projector = FrozenProjector.of(model)
    # On CPUs, eager attention over few tokens is three times faster in the backward pass.
    model.set_attn_implementation("eager")
    shares = recipe.shares if start is None else KEEP_TOWER_SHARES if keep_tower else RESUME_SHARES
    seconds = {stage: recipe.minutes * 60 * share for stage, share in shares.items()}
    packer = Packer(
        tokenizer,
        records,
        recipe.shape.patches,
        max_questions=MAX_QUESTIONS,
        kind_weights=KIND_WEIGHTS,
        box_rate=BOX_RATE,
        wordings=wordings,
    )
    held_out_packer = Packer(tokenizer, held_out[1], recipe.shape.patches)
    rates = {"oracle": _ORACLE_RATE, "tune": recipe.tune_rate}
    training_model = TrainingModel(model, squares, device, features={} if keep_tower else None)
    held_out_model = TrainingModel(model, held_out[0], device)

    def run_stage(
        name: str,
        patch_supervision: PatchSupervision | None,
        oracle_images: OracleImages | None = None,
        held_out_oracle: OracleImages | None = None,
    ) -> None:
        train_stage(
            name,
            replace(training_model, oracle=oracle_images),
            packer,
            patch_supervision,
            (replace(held_out_model, oracle=held_out_oracle), held_out_packer),
            folder=folder,
            seconds=seconds[name],
            rate=rates[name],
            seed=seed,
        )

    if keep_tower:
        run_stage("tune", None)
    else:
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
        )
        patch_supervision = PatchSupervision(head, targets, vocabulary.weights)
        target_embeddings = frozen_projector.embed_pixels
        if start is None:
            oracle = OracleEmbedding(vocabulary, recipe.shape.text_width).to(device)
            init_oracle(oracle, vocabulary, model.get_input_embeddings().weight.cpu(), tokenizer)
            oracle_images = OracleImages(oracle, targets)
            held_out_targets = build_targets(held_out[1], vocabulary, recipe.shape.side)
            run_stage(
                "oracle", patch_supervision, oracle_images, OracleImages(oracle, held_out_targets)
            )
            target_embeddings = oracle_images.embed_pixels
        align(
            training_model,
            target_embeddings,
            targets,
            folder=folder,
            seconds=seconds["align"],
            seed=seed,
        )
        run_stage("tune", patch_supervision)
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


def load_weights(
    folder: Path, model: LlavaForConditionalGeneration, added: Sequence[AddedToken] = ()
) -> dict[str, Tensor]:
    """Load exported weights; raise ``ValueError`` if shapes differ.

    ``added`` are tokens that the tokenizer got since. Their rows are the means of the tokens that
    they replace.
    """
    trained = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    weights: dict[str, Tensor] = trained.state_dict()
    for name in (key for key in weights if key.endswith(("embed_tokens.weight", "lm_head.weight"))):
        weights[name] = grow_rows(weights[name], added)
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
    folder: Path, records: list[Record], shape: Shape, start: Path | None, wordings: Wordings
) -> PreTrainedTokenizerFast:
    """Load the tokenizer of this run; grow it from ``start`` or train it first."""
    if start is not None and not folder.exists():
        _grow(start, folder, records, wordings)
    if not folder.exists():
        chosen = random.Random(0).sample(records, min(len(records), _TOKENIZER_RECORDS))
        frame = f"{prompt.SYSTEM} Picture 1: Passage 2: Question: {prompt.YES_OR_NO}"
        texts = chain(
            _texts(chosen), (frame for _ in chosen), _reworded_questions(chosen, wordings)
        )
        train_tokenizer(texts, shape.vocabulary).save_pretrained(folder)
    return _load_tokenizer(folder)


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TypeError(f"{folder} does not contain a fast tokenizer.")
    return tokenizer


def _grow(start: Path, folder: Path, records: list[Record], wordings: Wordings) -> None:
    """Save the tokenizer of ``start`` with tokens for the words of all wordings."""
    tokenizer = _load_tokenizer(start)
    chosen = random.Random(0).sample(records, min(len(records), _REWORDED_RECORDS))
    room = max(0, _VOCABULARY - len(tokenizer))
    new_texts = _reworded_questions(chosen, wordings)
    added = grow_tokenizer(tokenizer, _texts(chosen), new_texts, room)
    tokenizer.save_pretrained(folder)
    (folder / _ADDED).write_text(json.dumps(added, ensure_ascii=False), encoding="utf-8")


def _added_tokens(folder: Path) -> list[AddedToken]:
    return [AddedToken(*each) for each in json.loads((folder / _ADDED).read_text(encoding="utf-8"))]


def _texts(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        yield from (text for qa in record.questions for text in (qa.question, qa.answer))
        yield from (text for text, _ in record.texts)
        yield from record.captions


def _reworded_questions(records: Sequence[Record], wordings: Wordings) -> Iterator[str]:
    rng = random.Random("wordings")
    for record in records:
        for qa in record.questions:
            yield wordings.rephrase(rng, qa.question, qa.language)
        if not record.crop:
            for language in LANGUAGES:
                yield wordings.unanswerable_question(rng, record.family, language)
