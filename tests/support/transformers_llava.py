"""Greedy answers of a LLaVA folder in transformers, to compare the ONNX engine with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from sightline.training.vlm.data.prompt import Message


class TransformersLlava:
    """A loaded model with its processor, in float32."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        self._model = LlavaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32
        ).eval()
        self._processor: Any = AutoProcessor.from_pretrained(folder)

    def answer(
        self, messages: Sequence[Message], images: Sequence[Image.Image], max_tokens: int
    ) -> tuple[str, int]:
        """Return the answer, and the number of tokens of the prompt."""
        turns = []
        for message in messages:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            assert isinstance(parts, list)
            shown = [part if part["type"] == "text" else {"type": "image"} for part in parts]
            turns.append({"role": message["role"], "content": shown})
        prompt = self._processor.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=False
        )
        inputs = self._processor(images=list(images), text=prompt, return_tensors="pt")
        length = inputs["input_ids"].shape[1]
        output = self._model.generate(**inputs, do_sample=False, max_new_tokens=max_tokens)
        return self._processor.decode(output[0, length:], skip_special_tokens=True), length
