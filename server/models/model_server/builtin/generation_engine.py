"""Generates answers: one at a time, in order of arrival, on a thread of its own.

One at a time because batching changes the last bits of logits, and with them, now and then, a
greedy answer; this server promises those of transformers' own ``generate``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoProcessor,
    DynamicCache,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from sightline.server.models.model_server.builtin.chat_request import Conversation
from sightline.server.models.model_server.builtin.constrained_decoding import Guide, token_table
from sightline.server.models.model_server.builtin.detokenizer import Writer
from sightline.server.models.model_server.builtin.openai_errors import Overloaded, Refusal
from sightline.server.models.model_server.builtin.request_limits import Limits
from sightline.storage.errors import ConfigurationError

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer to be generated. ``temperature`` 0 is greedy."""

    conversation: Conversation
    max_tokens: int | None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stops: tuple[str, ...] = ()
    grammar: str | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token with its log-probability under the model itself, before temperature and schema."""

    token: str
    logprob: float
    data: bytes
    top: tuple[tuple[str, float, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step added. ``finish`` is set on the last piece."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Finish | None = None
    scores: tuple[TokenScore, ...] = ()


@dataclass
class _Job:
    """An accepted request; ``pieces`` ends with ``None``, or an exception in its place."""

    asked: Asked
    loop: asyncio.AbstractEventLoop
    pieces: asyncio.Queue[Piece | BaseException | None] = field(default_factory=asyncio.Queue)
    gone: threading.Event = field(default_factory=threading.Event)

    def put(self, item: Piece | BaseException | None) -> None:
        """Hand something to the request's own event loop, unless that has closed."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, item)


class Engine:
    """A LLaVA folder, ready to answer. Close it when done."""

    def __init__(self, folder: Path, limits: Limits, device: str = "cpu") -> None:
        if not (folder / "config.json").is_file():
            raise ConfigurationError(f"{str(folder)!r} holds no model: it has no config.json")
        self.limits = limits
        self.device = torch.device(device)
        model = LlavaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
        self.model = model.to(self.device).eval()
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        if not isinstance(processor, LlavaProcessor):
            raise ConfigurationError(f"{str(folder)!r} is not a LLaVA: it has no LlavaProcessor")
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.markup = [t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special]
        text = self.model.config.text_config
        self.context = int(text.max_position_embeddings)
        self._table = token_table(self.tokenizer, text.vocab_size)
        ends = self.model.generation_config.eos_token_id
        self._ends = set(ends) if isinstance(ends, list) else {ends}
        self._pool = ThreadPoolExecutor(1, "vlm")
        self._pending = 0

    def close(self) -> None:
        """Stop taking work; what runs is given up at its next token."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def generate(self, asked: Asked) -> AsyncIterator[Piece]:
        """Pieces of one answer. Leaving the iterator gives the answer up.

        Raises ``Overloaded`` when too many wait, ``Refusal`` when it cannot be generated.
        """
        if self._pending > self.limits.waiting_requests:
            raise Overloaded(f"{self._pending} requests are being served; try again")
        job = _Job(asked, asyncio.get_running_loop())
        self._pending += 1
        done = self._pool.submit(self._work, job)
        try:
            while (item := await job.pieces.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            job.gone.set()
            done.cancel()
            self._pending -= 1

    def _work(self, job: _Job) -> None:
        try:
            with torch.inference_mode():
                for piece in self._answer(job.asked):
                    if job.gone.is_set():
                        return
                    job.put(piece)
        except Exception as error:  # noqa: BLE001 - handed to the request, which raises it
            job.put(error)
        else:
            job.put(None)

    def inputs(self, conversation: Conversation) -> dict[str, Tensor]:
        """What the model is given for a conversation: exactly the processor's own output."""
        text = self.processor.apply_chat_template(
            conversation.turns, add_generation_prompt=True, tokenize=False
        )
        pictures: list[Image.Image] | None = conversation.pictures or None
        given = self.processor(
            images=pictures, text=text, return_tensors="pt", add_special_tokens=False
        )
        return {name: value.to(self.device) for name, value in given.items()}

    def _answer(self, asked: Asked) -> Iterator[Piece]:
        given = self.inputs(asked.conversation)
        prompt = int(given["input_ids"].shape[1])
        room = self.context - prompt
        wanted = asked.max_tokens or min(max(room, 1), self.limits.default_max_tokens)
        if wanted > room:
            raise Refusal(
                f"This model's maximum context length is {self.context} tokens; the prompt has "
                f"{prompt} and {wanted} were asked for.",
                "messages",
                "context_length_exceeded",
            )
        guide = Guide(self._table, asked.grammar) if asked.grammar is not None else None
        chance = torch.Generator("cpu")
        if asked.seed is None:
            chance.seed()
        else:
            chance.manual_seed(asked.seed)
        writer = Writer(self.tokenizer, asked.stops)
        cache = DynamicCache(config=self.model.config.text_config)
        for count in range(1, wanted + 1):
            output = self.model(**given, past_key_values=cache, use_cache=True, logits_to_keep=1)
            raw = output.logits[0, -1].float().cpu()
            logits = (
                raw if guide is None else raw.masked_fill(~guide.allowed()[: len(raw)], -torch.inf)
            )
            token = _pick(logits, asked, chance)
            complete = guide.take(token) if guide is not None else False
            ended = token in self._ends
            text = writer.finish() if ended else writer.add(token)
            scores = () if ended else self._scores(raw, token, asked.top_logprobs)
            if ended or complete or writer.stopped:
                text += "" if ended else writer.finish()
                yield Piece(text, prompt, count, "stop", scores)
                return
            if count == wanted:
                yield Piece(text + writer.finish(), prompt, count, "length", scores)
                return
            yield Piece(text, prompt, count, None, scores)
            given = {"input_ids": torch.tensor([[token]], device=self.device)}

    def _scores(self, raw: Tensor, token: int, top: int | None) -> tuple[TokenScore, ...]:
        if top is None:
            return ()
        logs = raw.log_softmax(-1)
        best = logs.topk(min(top, len(logs))) if top else None
        likely = (
            [(*self._spelled(int(i)), float(v)) for v, i in zip(*best, strict=True)] if best else []
        )
        word, data = self._spelled(token)
        return (TokenScore(word, float(logs[token]), data, tuple((w, v, d) for w, d, v in likely)),)

    def _spelled(self, token: int) -> tuple[str, bytes]:
        text = self.tokenizer.decode([token])
        return text, text.encode()


def _pick(logits: Tensor, asked: Asked, chance: torch.Generator) -> int:
    """The next token: the likeliest at temperature 0, else drawn from the top ``top_p``."""
    if asked.temperature == 0.0:
        return int(logits.argmax())
    shares, order = (logits / asked.temperature).softmax(-1).sort(descending=True)
    # The first token that passes the threshold stays in.
    shares[shares.cumsum(-1) - shares > asked.top_p] = 0.0
    return int(order[torch.multinomial(shares, 1, generator=chance)])
