"""States of the frozen parts, computed once: of pictures and of phrases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sightline.training.detector.data.album import Shard
from sightline.training.detector.model.detector import TextStates, Trunk
from sightline.training.encoder.data.batches import normalised, padded

_BATCH: Final = 64
States = npt.NDArray[np.float16]


@torch.no_grad()
def picture_states(trunk: Trunk, shards: Sequence[Shard], cache: Path) -> list[States]:
    """Return (n, 1 + patches, width) for each shard; existing files in ``cache`` are used."""
    cache.mkdir(parents=True, exist_ok=True)
    found: list[States] = []
    for number, shard in enumerate(shards):
        path = cache / f"{number:05d}-{len(shard.labels)}.npy"
        if not path.exists():
            rows = [
                trunk(normalised(np.asarray(shard.pixels[start : start + _BATCH]))).half().numpy()
                for start in range(0, len(shard.labels), _BATCH)
            ]
            with (path.with_suffix(".part")).open("wb") as file:
                np.save(file, np.concatenate(rows))
            path.with_suffix(".part").replace(path)
        found.append(np.load(path, mmap_mode="r"))
    return found


@torch.no_grad()
def phrase_states(tower: TextStates, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Return (texts, 3 * width) float32."""
    rows = []
    for start in range(0, len(texts), 256):
        ids = tokenizer(list(texts[start : start + 256]), truncation=True)["input_ids"]
        rows.append(tower(padded(ids)))
    return torch.cat(rows)
