"""Stages of the training of builtin-detector; each one can be repeated."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from sightline.storage.errors import InvalidArgumentError
from sightline.training.detector.data import album
from sightline.training.detector.evaluation import evaluate, model_card
from sightline.training.detector.model import export
from sightline.training.detector.recipe import Recipe
from sightline.training.detector.train import Run
from sightline.training.encoder.checkpoint import CHECKPOINT
from sightline.training.encoder.data.album import write_atomically
from sightline.training.encoder.model import export as encoder
from sightline.training.encoder.recipe import IMAGE_PX
from sightline.training.world.core.scene import Split

logger = logging.getLogger(__name__)
TRAINING: Final = "training.json"
FIGURES: Final = "figures.json"
CARD: Final = "MODEL_CARD.md"


@dataclass(frozen=True, slots=True)
class Workshop:
    """Paths and options of a run.

    ``runs`` contains pictures, states and the checkpoint; ``out`` gets the model. ``encoder`` is
    the folder of the dual encoder whose towers are used.
    """

    runs: Path
    out: Path
    encoder: Path
    recipe: Recipe
    note: str = ""

    def train(self) -> None:
        """Draw missing pictures and train."""
        wanted: tuple[tuple[Split, int], ...] = (
            ("validation", self.recipe.validation_pictures),
            ("train", self.recipe.pictures),
        )
        for split, count in wanted:
            album.draw(self.runs / "album", split, count, logger.info)
        model, _, tokenizer = encoder.load(self.encoder, torch.device("cpu"))
        Run(self.runs, self.recipe, model, tokenizer).run()

    def export(self) -> None:
        """Export the averaged weights of the checkpoint."""
        state = self._checkpoint()
        model, _, tokenizer = encoder.load(self.encoder, torch.device("cpu"))
        export.export(model, tokenizer, state["heads"], self.out)
        training = {key: state[key] for key in ("recipe", "steps", "seconds", "curve", "hardware")}
        encoder.write_json(self.out / TRAINING, training | {"note": self.note})

    def evaluate(self) -> str:
        """Calibrate and evaluate the exported model; write figures and model card.

        Returns the text of the card.
        """
        wanted: tuple[tuple[Split, int], ...] = (
            ("validation", self.recipe.validation_pictures),
            ("test", self.recipe.test_pictures),
        )
        for split, count in wanted:
            album.draw(self.runs / "album", split, count, logger.info)
        validation, test = (album.load(self.runs / "album", *each) for each in wanted)
        figures = evaluate.evaluate(self.out, validation, test)
        export.write_config(
            self.out, export.read_config(self.out) | {"calibration": figures["calibration"]}
        )
        encoder.write_json(self.out / FIGURES, figures)
        training = json.loads((self.out / TRAINING).read_text(encoding="utf-8"))
        text = model_card.card(training, figures, IMAGE_PX)
        write_atomically(self.out / CARD, text.encode())
        return text

    def _checkpoint(self) -> dict[str, Any]:
        path = self.runs / CHECKPOINT
        if not path.exists():
            raise InvalidArgumentError(f"no checkpoint in {str(self.runs)!r}; train first")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
