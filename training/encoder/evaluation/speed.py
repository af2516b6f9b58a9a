"""Measure images and texts per second of the exported model by batch size."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sightline.training.encoder import hardware
from sightline.training.encoder.model import export
from sightline.training.encoder.recipe import CONTEXT_TOKENS, IMAGE_PX

BATCHES = (1, 8, 32)
_ROUNDS = 15


@torch.no_grad()
def measure(folder: Path, device: torch.device) -> dict[str, Any]:
    """Measure the towers only, in fp32, with texts that fill the context.

    The best of several rounds counts, because other programs slow down the others.
    """
    model, _, _ = export.load(folder, device)
    rates: dict[str, Any] = {"hardware": hardware.describe(device), "images": {}, "texts": {}}
    for batch in BATCHES:
        pixels = torch.rand(batch, 3, IMAGE_PX, IMAGE_PX, device=device)
        tokens = torch.full((batch, CONTEXT_TOKENS), 5, device=device)
        rates["images"][str(batch)] = _rate(partial(model.encode_image, pixels), batch, device)
        rates["texts"][str(batch)] = _rate(partial(model.encode_text, tokens), batch, device)
    return rates


def _rate(work: Callable[[], object], batch: int, device: torch.device) -> float:
    work()
    times: list[float] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return round(batch / min(times), 1)
