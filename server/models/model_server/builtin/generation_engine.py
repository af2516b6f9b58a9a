"""Generates answers one at a time, in order of arrival, on its own thread.

Batching would change the last bits of logits and sometimes a greedy answer. Greedy answers equal
those of ``generate`` in transformers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import llguidance.hf
import torch
from torch import Tensor
from transformers import (
    AutoProcessor,
    DynamicCache,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from sightline.server.models.model_server.builtin.chat_request import (
    ChatRequest,
    Conversation,
    RequestError,
    RequestLimits,
)
from sightline.server.models.model_server.builtin.constrained_decoding import ConstrainedDecoder
from sightline.storage.errors import ConfigurationError

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

    def __init__(self, folder: Path, limits: RequestLimits, device: str) -> None:
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
        added = self._tokenizer.added_tokens_decoder.values()
        self.special_tokens = [token.content for token in added if token.special]
        text = self._model.config.text_config
        self.max_context_tokens = int(text.max_position_embeddings)
        self._token_table = llguidance.hf.from_tokenizer(self._tokenizer, n_vocab=text.vocab_size)
        ends = self._model.generation_config.eos_token_id
        self._end_tokens = set(ends) if isinstance(ends, list) else {ends}
        self._executor = ThreadPoolExecutor(1, "vlm")
        self._pending = 0

    def close(self) -> None:
        """Stop taking requests; a running one ends at its next token."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def generate(
        self, chat: ChatRequest, conversation: Conversation, grammar: str | None
    ) -> AsyncIterator[OutputChunk]:
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

        @torch.inference_mode()
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
        text = self._processor.apply_chat_template(
            conversation.messages, add_generation_prompt=True, tokenize=False
        )
        inputs = self._processor(
            images=conversation.images or None,
            text=text,
            return_tensors="pt",
            add_special_tokens=False,
        ).to(self._device)
        prompt = int(inputs["input_ids"].shape[1])
        max_tokens = self._max_tokens(chat, prompt)
        decoder = None if grammar is None else ConstrainedDecoder(self._token_table, grammar)
        rng = torch.Generator("cpu")
        rng.manual_seed(rng.seed() if chat.seed is None else chat.seed)
        detokenizer = _Detokenizer(self._tokenizer, chat.stop)
        cache = DynamicCache(config=self._model.config.text_config)
        for count in range(1, max_tokens + 1):
            output = self._model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
            logits = raw = output.logits[0, -1].float().cpu()
            if decoder is not None:
                logits = raw.masked_fill(~decoder.allowed_tokens()[: len(raw)], -torch.inf)
            token = _sample(logits, chat, rng)
            complete = decoder is not None and decoder.consume(token)
            ended = token in self._end_tokens
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
            inputs = {"input_ids": torch.tensor([[token]], device=self._device)}

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

    def _logprobs(self, logits: Tensor, token: int, chat: ChatRequest) -> list[dict[str, object]]:
        logprobs = logits.log_softmax(-1)

        def entry(index: int) -> dict[str, object]:
            text = str(self._tokenizer.decode([index]))
            return {"token": text, "logprob": float(logprobs[index]), "bytes": [*text.encode()]}

        top = logprobs.topk(min(chat.top_logprobs, len(logprobs))).indices
        return [{**entry(token), "top_logprobs": [entry(int(index)) for index in top]}]


class _Detokenizer:
    """Converts the tokens of one answer to text.

    Text that may become a stop string, and incomplete characters, are held back.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stop_strings: Sequence[str]) -> None:
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


def _sample(logits: Tensor, chat: ChatRequest, rng: torch.Generator) -> int:
    """Return the most likely token (temperature 0) or a top-p sample."""
    if chat.temperature == 0.0:
        return int(logits.argmax())
    probabilities, order = (logits / chat.temperature).softmax(-1).sort(descending=True)
    # The token that crosses the threshold remains.
    probabilities[probabilities.cumsum(-1) - probabilities > chat.top_p] = 0.0
    return int(order[torch.multinomial(probabilities, 1, generator=rng)])
