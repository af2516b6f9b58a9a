"""Answers in OpenAI's shape."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sightline.server.models.model_server.builtin.generation_engine import Piece, TokenScore


def completion_of(pieces: Sequence[Piece], model: str, name: str) -> dict[str, object]:
    """A whole answer: ``chat.completion``."""
    scores = [score for piece in pieces for score in piece.scores]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(piece.text for piece in pieces)},
        "logprobs": {"content": [_scored(score) for score in scores]} if scores else None,
        "finish_reason": pieces[-1].finish,
    }
    return {**_head("chat.completion", model, name), "choices": [choice], **usage_of(pieces[-1])}


def chunk_of(piece: Piece | None, model: str, name: str) -> dict[str, object]:
    """A part of a streamed answer: ``chat.completion.chunk``; ``None`` opens it."""
    delta: dict[str, object] = {"content": piece.text} if piece else {"role": "assistant"}
    choice = {
        "index": 0,
        "delta": delta,
        "logprobs": {"content": [_scored(s) for s in piece.scores]}
        if piece and piece.scores
        else None,
        "finish_reason": piece.finish if piece else None,
    }
    return {**_head("chat.completion.chunk", model, name), "choices": [choice]}


def usage_of(last: Piece) -> dict[str, object]:
    """Token counts, from the last piece."""
    prompt, completion = last.prompt_tokens, last.completion_tokens
    return {
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    }


def _head(kind: str, model: str, name: str) -> dict[str, object]:
    return {"id": name, "object": kind, "created": int(time.time()), "model": model}


def _scored(score: TokenScore) -> dict[str, object]:
    top = [{"token": t, "logprob": v, "bytes": list(d)} for t, v, d in score.top]
    return {
        "token": score.token,
        "logprob": score.logprob,
        "bytes": list(score.data),
        "top_logprobs": top,
    }
