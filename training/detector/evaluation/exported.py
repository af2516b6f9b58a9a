"""An exported detector on ONNX Runtime, and the calibration of its logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sightline.training.detector.evaluation.matching import Floats, Outcome
from sightline.training.detector.model.export import IMAGE_GRAPH, PHRASE_GRAPH
from sightline.training.encoder.data import tokenizer as tokenizers
from sightline.training.encoder.data.album import Pixels
from sightline.training.encoder.data.batches import normalised, padded

_NEWTON_STEPS = 50


class ExportedDetector:
    """The graphs of a folder: what ships is what is evaluated."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._images = onnxruntime.InferenceSession(str(folder / IMAGE_GRAPH), options)
        self._texts = onnxruntime.InferenceSession(str(folder / PHRASE_GRAPH), options)
        self._tokenizer: Any = tokenizers.read(folder)

    def phrases(self, texts: Sequence[str]) -> Floats:
        """Return (texts, dim)."""
        rows = []
        for start in range(0, len(texts), 256):
            ids = self._tokenizer(list(texts[start : start + 256]), truncation=True)["input_ids"]
            (vectors,) = self._texts.run(["vectors"], {"input_ids": padded(ids).numpy()})
            rows.append(vectors)
        return np.concatenate(rows)

    def pictures(self, pixels: Pixels, phrases: Floats) -> tuple[Floats, Floats]:
        """Return boxes (n, patches, 4) and logits (n, patches, phrases) of (n, px, px, 3)."""
        inputs = {"pixel_values": normalised(pixels).contiguous().numpy()}
        names = ["vectors", "scale", "shift", "boxes"]
        vectors, scale, shift, boxes = self._images.run(names, inputs)
        return np.clip(boxes, 0, 1), vectors @ phrases.T * scale + shift


def fit_calibration(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return ``slope`` and ``offset`` of the logistic regression from logits to being right."""
    logits = np.concatenate([each.logits for each in outcomes]).astype(np.float64)
    right = np.concatenate([each.right for each in outcomes]).astype(np.float64)
    inputs = np.stack([logits, np.ones_like(logits)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(_NEWTON_STEPS):
        predicted = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (right - predicted)
        curvature = (inputs * (predicted * (1 - predicted))[:, None]).T @ inputs
        weights += np.linalg.solve(curvature + 1e-6 * np.eye(2), gradient)
    return {"slope": round(float(weights[0]), 4), "offset": round(float(weights[1]), 4)}


def scores(logits: Floats, calibration: dict[str, float]) -> Floats:
    """Return the probabilities that boxes with these logits are right."""
    exponent = calibration["slope"] * logits + calibration["offset"]
    return np.asarray(1 / (1 + np.exp(-exponent)))
