"""Generates answers one at a time, in order of arrival, on its own thread.

Batching would change the last bits of logits and sometimes a greedy answer. Greedy answers equal
those of ``generate`` in transformers (a test compares them).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from sightline.server.models.vision_language.builtin.chat_request import (
    ChatRequest,
    Conversation,
    RequestError,
    RequestLimits,
)
from sightline.server.models.vision_language.builtin.constrained_decoding import ConstrainedDecoder
from sightline.server.models.vision_language.builtin.llava_model import Cache, LlavaModel, Logits

FinishReason = Literal["stop", "length"]

_DEFAULT_MAX_TOKENS: Final = 256
_INCOMPLETE_CHARACTER: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """The output of one step. The last chunk has a ``finish_reason``.

    ``logprobs`` are in OpenAI's format, of the model before temperature and grammar.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: FinishReason | None
    logprobs: Sequence[dict[str, object]]


class GenerationEngine:
    """A loaded LLaVA folder. Call `close` at the end."""

    def __init__(self, folder: Path, limits: RequestLimits) -> None:
        self.limits = limits
        self._model = LlavaModel(folder)
        self.special_tokens = self._model.special_tokens
        self.max_context_tokens = self._model.max_context_tokens
        self._token_table = self._model.token_table()
        self._executor = ThreadPoolExecutor(1, "vlm")
        self._pending = 0

    def close(self) -> None:
        """Stop taking requests; a running one ends at its next token."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def generate(
        self, chat: ChatRequest, conversation: Conversation, grammar: str | None
    ) -> AsyncGenerator[OutputChunk]:
        """Yield the chunks of one answer. Closing the iterator cancels the generation.

        Raises RequestError if too many requests wait or if the answer cannot be generated.
        """
        if self._pending > self.limits.max_waiting_requests:
            message = f"{self._pending} requests are being served; try again"
            raise RequestError(message, code="queue_full", status=429)
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[OutputChunk | Exception | None] = asyncio.Queue()
        cancelled = threading.Event()

        def put(item: OutputChunk | Exception | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(items.put_nowait, item)

        def run() -> None:
            try:
                for chunk in self._generate(chat, conversation, grammar):
                    if cancelled.is_set():
                        return
                    put(chunk)
            except Exception as error:  # noqa: BLE001 - the request raises it
                put(error)
            else:
                put(None)

        self._pending += 1
        future = self._executor.submit(run)
        try:
            while (item := await items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            cancelled.set()
            future.cancel()
            self._pending -= 1

    def _generate(
        self, chat: ChatRequest, conversation: Conversation, grammar: str | None
    ) -> Iterator[OutputChunk]:
        model = self._model
        ids = model.prompt_ids(conversation.messages)
        prompt = len(ids)
        max_tokens = self._max_tokens(chat, prompt)
        features = model.image_features(conversation.images)
        decoder = None if grammar is None else ConstrainedDecoder(self._token_table, grammar)
        rng = np.random.default_rng(chat.seed)
        detokenizer = _Detokenizer(model.tokenizer, chat.stop)
        cache: Cache | None = None
        for count in range(1, max_tokens + 1):
            raw, cache = model.step(ids, features, cache)
            logits = raw
            if decoder is not None:
                logits = np.where(decoder.allowed_tokens()[: len(raw)], raw, -np.inf)
            token = _sample(logits, chat, rng)
            complete = decoder is not None and decoder.consume(token)
            ended = token in model.end_tokens
            text = "" if ended else detokenizer.add(token)
            finish_reason: FinishReason | None = "length" if count == max_tokens else None
            if ended or complete or detokenizer.stopped:
                finish_reason = "stop"
            if finish_reason:
                text += detokenizer.finish()
            logprobs = self._logprobs(raw, token, chat) if chat.logprobs and not ended else ()
            yield OutputChunk(text, prompt, count, finish_reason, logprobs)
            if finish_reason:
                return
            ids = np.array([token], np.int64)

    def _max_tokens(self, chat: ChatRequest, prompt: int) -> int:
        remaining = self.max_context_tokens - prompt
        requested = (
            chat.max_completion_tokens
            or chat.max_tokens
            or min(max(remaining, 1), _DEFAULT_MAX_TOKENS)
        )
        if requested > remaining:
            raise RequestError(
                f"This model's maximum context length is {self.max_context_tokens} tokens; the "
                f"prompt has {prompt} and {requested} were requested.",
                "messages",
                "context_length_exceeded",
            )
        return requested

    def _logprobs(self, logits: Logits, token: int, chat: ChatRequest) -> list[dict[str, object]]:
        shifted = logits.astype(np.float64) - logits.max()
        logprobs = shifted - np.log(np.exp(shifted).sum())

        def entry(index: int) -> dict[str, object]:
            text = str(self._model.tokenizer.decode([index], skip_special_tokens=False))
            return {"token": text, "logprob": float(logprobs[index]), "bytes": [*text.encode()]}

        top = np.argsort(-logprobs, kind="stable")[: chat.top_logprobs]
        return [{**entry(token), "top_logprobs": [entry(int(index)) for index in top]}]


class _Detokenizer:
    """Converts the tokens of one answer to text.

    Text that may become a stop string, and incomplete characters, are held back.
    """

    def __init__(self, tokenizer: Tokenizer, stop_strings: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stop_strings = stop_strings
        self._tokens: list[int] = []
        self._emitted = 0
        self.stopped = False

    def add(self, token: int) -> str:
        self._tokens.append(token)
        text = self._decode()
        stops = [at for stop in self._stop_strings if (at := text.find(stop)) >= 0]
        if stops:
            self.stopped = True
            return self._emit(text[: min(stops)])
        return self._emit(text[: len(text) - self._uncertain_length(text)])

    def finish(self) -> str:
        return "" if self.stopped else self._emit(self._decode())

    def _decode(self) -> str:
        return str(self._tokenizer.decode(self._tokens, skip_special_tokens=True))

    def _emit(self, text: str) -> str:
        new = text[self._emitted :]
        self._emitted = max(self._emitted, len(text))
        return new

    def _uncertain_length(self, text: str) -> int:
        """Return how many characters at the end may change or begin a stop string."""
        prefixes = (
            size
            for stop in self._stop_strings
            for size in range(1, len(stop))
            if text.endswith(stop[:size])
        )
        return max(len(text) - len(text.rstrip(_INCOMPLETE_CHARACTER)), *prefixes, 0)


def _sample(logits: npt.NDArray[Any], chat: ChatRequest, rng: np.random.Generator) -> int:
    """Return the most likely token (temperature 0) or a top-p sample."""
    if chat.temperature == 0.0:
        return int(logits.argmax())
    scaled = (logits.astype(np.float64) - logits.max()) / chat.temperature
    probabilities = np.exp(scaled) / np.exp(scaled).sum()
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    # The token that crosses the threshold remains.
    ordered[ordered.cumsum() - ordered > chat.top_p] = 0.0
    return int(rng.choice(order, p=ordered / ordered.sum()))
