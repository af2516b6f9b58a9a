"""Generates answers one at a time, in order of arrival, on its own thread.

Batching would change the last bits of logits and sometimes a greedy answer. Greedy answers equal
those of ``generate`` in transformers.
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
from torch import Tensor
from transformers import (
    AutoProcessor,
    DynamicCache,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from sightline.server.models.model_server.builtin.chat_request import Conversation
from sightline.server.models.model_server.builtin.constrained_decoding import (
    ConstrainedDecoder,
    create_token_table,
)
from sightline.server.models.model_server.builtin.detokenizer import Detokenizer
from sightline.server.models.model_server.builtin.request_limits import (
    QueueFullError,
    RequestError,
    RequestLimits,
)
from sightline.storage.errors import ConfigurationError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One answer to generate. ``temperature`` 0 is greedy."""

    conversation: Conversation
    max_tokens: int | None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop_strings: tuple[str, ...] = ()
    grammar: str | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token with the log-probability of the model, before temperature and grammar."""

    token: str
    logprob: float
    data: bytes
    top: tuple[tuple[str, float, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """The output of one step. The last chunk has a ``finish_reason``."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass
class _Job:
    """An accepted request. ``chunks`` ends with ``None`` or an exception."""

    request: GenerationRequest
    loop: asyncio.AbstractEventLoop
    chunks: asyncio.Queue[OutputChunk | BaseException | None] = field(default_factory=asyncio.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def put(self, item: OutputChunk | BaseException | None) -> None:
        """Put an item from the engine's thread, unless the event loop is closed."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.chunks.put_nowait, item)


class GenerationEngine:
    """A loaded LLaVA folder. Call `close` at the end."""

    def __init__(self, folder: Path, limits: RequestLimits, device: str = "cpu") -> None:
        self.limits = limits
        self._device = torch.device(device)
        model = LlavaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
        self._model = model.to(self._device).eval()
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        if not isinstance(processor, LlavaProcessor):
            raise ConfigurationError(f"{str(folder)!r} is not a LLaVA: it has no LlavaProcessor.")
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self.special_tokens = [
            token.content
            for token in self._tokenizer.added_tokens_decoder.values()
            if token.special
        ]
        text = self._model.config.text_config
        self.max_context_tokens = int(text.max_position_embeddings)
        self._token_table = create_token_table(self._tokenizer, text.vocab_size)
        ends = self._model.generation_config.eos_token_id
        self._end_tokens = set(ends) if isinstance(ends, list) else {ends}
        self._executor = ThreadPoolExecutor(1, "vlm")
        self._pending = 0

    def close(self) -> None:
        """Stop taking requests; a running one ends at its next token."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def generate(self, request: GenerationRequest) -> AsyncIterator[OutputChunk]:
        """Yield the chunks of one answer. Closing the iterator cancels the generation.

        Raises QueueFullError if too many requests wait, RequestError if it cannot be generated.
        """
        if self._pending > self.limits.max_waiting_requests:
            raise QueueFullError(f"{self._pending} requests are being served; try again")
        job = _Job(request, asyncio.get_running_loop())
        self._pending += 1
        future = self._executor.submit(self._run, job)
        try:
            while (item := await job.chunks.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            job.cancelled.set()
            future.cancel()
            self._pending -= 1

    def _run(self, job: _Job) -> None:
        try:
            with torch.inference_mode():
                for chunk in self._generate(job.request):
                    if job.cancelled.is_set():
                        return
                    job.put(chunk)
        except Exception as error:  # noqa: BLE001 - the request raises it
            job.put(error)
        else:
            job.put(None)

    def _model_inputs(self, conversation: Conversation) -> dict[str, Tensor]:
        """Return the unchanged output of the processor for a conversation."""
        text = self._processor.apply_chat_template(
            conversation.messages, add_generation_prompt=True, tokenize=False
        )
        inputs = self._processor(
            images=conversation.images or None,
            text=text,
            return_tensors="pt",
            add_special_tokens=False,
        )
        return {name: value.to(self._device) for name, value in inputs.items()}

    def _generate(self, request: GenerationRequest) -> Iterator[OutputChunk]:
        inputs = self._model_inputs(request.conversation)
        prompt = int(inputs["input_ids"].shape[1])
        max_tokens = self._max_tokens(request, prompt)
        decoder = (
            ConstrainedDecoder(self._token_table, request.grammar)
            if request.grammar is not None
            else None
        )
        rng = torch.Generator("cpu")
        if request.seed is None:
            rng.seed()
        else:
            rng.manual_seed(request.seed)
        detokenizer = Detokenizer(self._tokenizer, request.stop_strings)
        cache = DynamicCache(config=self._model.config.text_config)
        for count in range(1, max_tokens + 1):
            output = self._model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
            logits = raw = output.logits[0, -1].float().cpu()
            if decoder is not None:
                logits = raw.masked_fill(~decoder.allowed_tokens()[: len(raw)], -torch.inf)
            token = _sample(logits, request, rng)
            complete = decoder is not None and decoder.consume(token)
            ended = token in self._end_tokens
            text = detokenizer.finish() if ended else detokenizer.add(token)
            logprobs = () if ended else self._logprobs(raw, token, request.top_logprobs)
            if ended or complete or detokenizer.stopped:
                text += "" if ended else detokenizer.finish()
                yield OutputChunk(text, prompt, count, "stop", logprobs)
                return
            if count == max_tokens:
                yield OutputChunk(text + detokenizer.finish(), prompt, count, "length", logprobs)
                return
            yield OutputChunk(text, prompt, count, None, logprobs)
            inputs = {"input_ids": torch.tensor([[token]], device=self._device)}

    def _max_tokens(self, request: GenerationRequest, prompt: int) -> int:
        remaining = self.max_context_tokens - prompt
        requested = request.max_tokens or min(max(remaining, 1), self.limits.default_max_tokens)
        if requested > remaining:
            raise RequestError(
                f"This model's maximum context length is {self.max_context_tokens} tokens; the "
                f"prompt has {prompt} and {requested} were requested.",
                "messages",
                "context_length_exceeded",
            )
        return requested

    def _logprobs(self, logits: Tensor, token: int, top: int | None) -> tuple[TokenLogprob, ...]:
        if top is None:
            return ()
        logprobs = logits.log_softmax(-1)
        alternatives = []
        if top:
            values, indexes = logprobs.topk(min(top, len(logprobs)))
            for value, index in zip(values, indexes, strict=True):
                text = self._decode_token(int(index))
                alternatives.append((text, float(value), text.encode()))
        text = self._decode_token(token)
        logprob = float(logprobs[token])
        return (TokenLogprob(text, logprob, text.encode(), tuple(alternatives)),)

    def _decode_token(self, token: int) -> str:
        return str(self._tokenizer.decode([token]))


def _sample(logits: Tensor, request: GenerationRequest, rng: torch.Generator) -> int:
    """Return the most likely token (temperature 0) or a top-p sample."""
    if request.temperature == 0.0:
        return int(logits.argmax())
    probabilities, order = (logits / request.temperature).softmax(-1).sort(descending=True)
    # The token that crosses the threshold remains.
    probabilities[probabilities.cumsum(-1) - probabilities > request.top_p] = 0.0
    return int(order[torch.multinomial(probabilities, 1, generator=rng)])
