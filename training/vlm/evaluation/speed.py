"""How fast the model answers: time to the first token, and answers a second, one by one or many."""

from __future__ import annotations

import random
import time
from typing import Final

import torch
from transformers import LlavaForConditionalGeneration

from sightline.training.vlm.data.album import Squares
from sightline.training.vlm.data.packing import Composer
from sightline.training.vlm.stages.vision_tower import pixels

BATCHES: Final = (1, 8)
_ROUNDS: Final = 5
_LONGEST: Final = 32


@torch.no_grad()
def measure(
    model: LlavaForConditionalGeneration, composer: Composer, squares: Squares, device: torch.device
) -> dict[str, object]:
    """Seconds to the first token of one question, and answers a second of batches of questions.

    Each question brings its own picture, in the picture form. The fastest of some rounds counts,
    since other work may share the machine.
    """
    rng = random.Random("speed")
    asked: list[tuple[list[int], int]] = []
    for row in range(len(composer.records)):
        pack = composer.about(rng, row, "picture")
        if len(asked) < max(BATCHES) and pack.segments and len(pack.rows) == 1:
            asked.append((pack.prefix + pack.segments[0].question, row))

    def seconds(count: int, longest: int) -> float:
        ids = [ids for ids, _ in asked[:count]]
        padded = composer.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(device)
        images = pixels(squares[[row for _, row in asked[:count]]], device)
        times = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            model.generate(**padded, pixel_values=images, do_sample=False, max_new_tokens=longest)
            times.append(time.perf_counter() - began)
        return min(times)

    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "first token seconds": round(seconds(1, 1), 4),
        "answers a second": {
            str(count): round(count / seconds(count, _LONGEST), 2) for count in BATCHES
        },
    }
