"""Stages of the training of builtin-clip; each one can be repeated."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import PreTrainedTokenizerFast

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.picture_reference import FILE_NAME, PictureReference
from sightline.training.encoder import hardware
from sightline.training.encoder import query_finetune as queries
from sightline.training.encoder.checkpoint import CHECKPOINT, Progress
from sightline.training.encoder.data import album, tokenizer
from sightline.training.encoder.evaluation import evaluate, model_card, speed
from sightline.training.encoder.evaluation.validate import picture_vectors
from sightline.training.encoder.model import export
from sightline.training.encoder.model.towers import parameters
from sightline.training.encoder.recipe import IMAGE_PX, Recipe
from sightline.training.encoder.train import Run
from sightline.training.world.core.scene import Split

logger = logging.getLogger(__name__)
TRAINING: Final = "training.json"
FIGURES: Final = "figures.json"
CARD: Final = "MODEL_CARD.md"


@dataclass(frozen=True, slots=True)
class Workshop:
    """Paths and options of a run.

    ``runs`` contains images, tokenizer and checkpoint; ``out`` gets the model. ``tower`` is a
    LLaVA folder that initializes the image tower; ``start`` is an encoder folder that provides the
    tokenizer and the text tower.
    """

    runs: Path
    out: Path
    recipe: Recipe
    device: torch.device
    precision: hardware.Precision = "auto"
    note: str = ""
    tower: Path | None = None
    start: Path | None = None

    def draw(self) -> None:
        """Draw missing images, and train the tokenizer if there is none."""
        wanted: tuple[tuple[Split, int], ...] = (
            ("validation", self.recipe.validation_pictures),
            ("train", self.recipe.pictures),
        )
        for split, number in wanted:
            album.draw(self.runs / "album", split, number, IMAGE_PX, logger.info)
        if self.start is not None and not self._tokens.exists():
            tokenizer.write(tokenizer.read(self.start), self._tokens)
        if not (self._tokens / "tokenizer.json").exists():
            entries = album.load(self.runs / "album", "train", self.recipe.pictures).entries
            texts = (text for e in entries for group in e.captions.values() for text in group)
            tokenizer.write(tokenizer.learn(texts), self._tokens)

    def train(self) -> Progress:
        """Train to the last step, from the checkpoint if there is one."""
        run = Run(
            self.runs,
            self.recipe,
            album.load(self.runs / "album", "train", self.recipe.pictures),
            album.load(self.runs / "album", "validation", self.recipe.validation_pictures),
            self._tokenizer(),
            self.device,
            self.precision,
            self.tower,
            self.start,
        )
        return run.run()

    def export(self) -> None:
        """Export the averaged weights of the checkpoint for open_clip."""
        path = self.runs / CHECKPOINT
        if not path.exists():
            raise InvalidArgumentError(f"no checkpoint in {str(self.runs)!r}; train first")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        export.export(state["average"], self._tokenizer(), self.out)
        training = {key: state[key] for key in ("recipe", "steps", "seconds", "curve")}
        training["hardware"] = hardware.describe(self.device)
        training["note"] = self.note
        export.write_json(self.out / TRAINING, training)

    def queries(self) -> None:
        """Fine-tune the exported model with short queries, and write it back."""
        model, _, tokens = export.load(self.out, self.device)
        stage = self.recipe.short
        album.draw(self.runs / "album", "train", stage.pictures, IMAGE_PX, logger.info)
        album.draw(
            self.runs / "album",
            "validation",
            self.recipe.validation_pictures,
            IMAGE_PX,
            logger.info,
        )
        learnt = queries.learn(
            model,
            tokens,
            album.load(self.runs / "album", "train", stage.pictures),
            album.load(self.runs / "album", "validation", self.recipe.validation_pictures),
            stage,
            self.device,
            self.precision,
        )
        export.export(model.state_dict(), tokens, self.out)
        training = json.loads((self.out / TRAINING).read_text())
        training["queries"] = learnt | {"hardware": hardware.describe(self.device)}
        export.write_json(self.out / TRAINING, training)

    def reference(self) -> None:
        """Write the statistics of known pictures, from validation pictures, beside the weights."""
        count = self.recipe.reference_pictures
        album.draw(self.runs / "album", "validation", count, IMAGE_PX, logger.info)
        held = album.load(self.runs / "album", "validation", count)
        model, _, _ = export.load(self.out, self.device)
        vectors = picture_vectors(model, held, self.device)
        families = [entry.family for entry in held.entries]
        fitted = len(held) * 2 // 3
        known = PictureReference.of(vectors[:fitted], families[:fitted], vectors[fitted:])
        album.write_atomically(self.out / FILE_NAME, known.to_bytes())

    def evaluate(self) -> dict[str, Any]:
        """Evaluate the exported model, and write its figures and model card."""
        figures = evaluate.evaluate(self.out, self.recipe.test_pictures, self.device)
        figures["speed"] = speed.measure(self.out, self.device)
        export.write_json(self.out / FIGURES, figures)
        model, _, _ = export.load(self.out, self.device)
        shape = {
            "config": json.loads((self.out / export.CONFIG).read_text())["model_cfg"],
            "parameters": parameters(model),
            "image_parameters": parameters(model.visual),
            "text_parameters": parameters(model.text),
        }
        training = json.loads((self.out / TRAINING).read_text())
        album.write_atomically(self.out / CARD, model_card.card(training, figures, shape).encode())
        return figures

    @property
    def _tokens(self) -> Path:
        return self.runs / "tokenizer"

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        return tokenizer.read(self._tokens)
