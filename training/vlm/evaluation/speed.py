"""Speed of the model: time to first token and answers per second."""

from __future__ import annotations

import random
import time
from typing import Final

import torch
from transformers import LlavaForConditionalGeneration

from sightline.training.vlm.data.album import Squares
from sightline.training.vlm.data.packing import Packer
from sightline.training.vlm.stages.vision_tower import to_pixel_values

BATCHES: Final = (1, 8)
_ROUNDS: Final = 5
_MAX_NEW_TOKENS: Final = 32


@torch.no_grad()
def measure_speed(
    model: LlavaForConditionalGeneration, packer: Packer, squares: Squares, device: torch.device
) -> dict[str, object]:
    """Measure seconds to the first token and answers per second by batch size.

    Each question has its own image. The fastest round counts, because other processes may use the
    machine.
    """
    rng = random.Random("speed")
    prompts: list[tuple[list[int], int]] = []
    for row in range(len(packer.records)):
        sequence = packer.pack(rng, row, "picture")
        if len(prompts) < max(BATCHES) and sequence.segments and len(sequence.rows) == 1:
            prompts.append((sequence.prefix + sequence.segments[0].question, row))

    def best_seconds(count: int, max_new_tokens: int) -> float:
        ids = [ids for ids, _ in prompts[:count]]
        padded = packer.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(device)
        images = to_pixel_values(squares[[row for _, row in prompts[:count]]], device)
        times = []
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            model.generate(
                **padded, pixel_values=images, do_sample=False, max_new_tokens=max_new_tokens
            )
            times.append(time.perf_counter() - started)
        return min(times)

    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "first token seconds": round(best_seconds(1, 1), 4),
        "answers a second": {
            str(count): round(count / best_seconds(count, _MAX_NEW_TOKENS), 2) for count in BATCHES
        },
    }
