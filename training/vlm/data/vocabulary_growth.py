"""Add tokens for the words of new texts to a trained tokenizer.

New merges come after the old ones and never apply to ``old_texts``, so these keep their tokens.
Runs of Chinese characters only get tokens for single characters: a longer token would depend on the
neighbors of a word.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

_CHINESE: Final = re.compile(r"[\u4e00-\u9fff]")
_MIN_COUNT: Final = 12

Pair = tuple[str, str]


class AddedToken(NamedTuple):
    """Id of an added token and of the two tokens that it replaces."""

    id: int
    left: int
    right: int


def grow_tokenizer(
    tokenizer: PreTrainedTokenizerFast,
    old_texts: Iterable[str],
    new_texts: Iterable[str],
    max_tokens: int,
) -> list[AddedToken]:
    """Add up to ``max_tokens`` tokens in place and return them in order of their ids."""
    backend = tokenizer.backend_tokenizer
    frozen = set()
    for piece in _pieces(backend, old_texts):
        tokens = _tokens(backend, piece)
        frozen |= set(pairwise(tokens))
    words = [
        (_tokens(backend, piece), count)
        for piece, count in _pieces(backend, new_texts, single_characters=True).items()
        if count >= _MIN_COUNT
    ]
    state = json.loads(backend.to_str())
    vocabulary: dict[str, int] = state["model"]["vocab"]
    added: list[AddedToken] = []
    while len(added) < max_tokens:
        counts: Counter[Pair] = Counter()
        for tokens, count in words:
            for pair in pairwise(tokens):
                counts[pair] += count
        allowed = {pair: n for pair, n in counts.items() if pair not in frozen}
        if not allowed:
            break
        best = max(allowed, key=lambda pair: (allowed[pair], pair))
        if allowed[best] < _MIN_COUNT:
            break
        for tokens, _ in words:
            _merge(tokens, best)
        joined = "".join(best)
        if joined not in vocabulary:
            token = AddedToken(len(vocabulary), vocabulary[best[0]], vocabulary[best[1]])
            vocabulary[joined] = token.id
            added.append(token)
        state["model"]["merges"].append(list(best))
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))  # noqa: SLF001 (no setter)
    return added


def grow_rows(weight: Tensor, added: Sequence[AddedToken]) -> Tensor:
    """Append a row for each added token: the mean of the rows that it replaces.

    ``weight`` is (old tokens, width).
    """
    rows = torch.cat([weight, weight.new_zeros(len(added), weight.shape[1])])
    for token in added:
        rows[token.id] = (rows[token.left] + rows[token.right]) / 2
    return rows


def _pieces(
    backend: Tokenizer, texts: Iterable[str], *, single_characters: bool = False
) -> Counter[str]:
    """Count the pieces between which no merge applies, as plain text."""
    pieces: Counter[str] = Counter()
    for text, count in Counter(texts).items():
        for _, (start, end) in backend.pre_tokenizer.pre_tokenize_str(text):
            piece = text[start:end]
            if single_characters and _CHINESE.match(piece):
                for character in piece:
                    pieces[character] += count
            else:
                pieces[piece] += count
    return pieces


def _tokens(backend: Tokenizer, piece: str) -> list[str]:
    return list(backend.encode(piece, add_special_tokens=False).tokens)


def _merge(tokens: list[str], pair: Pair) -> None:
    """Replace each occurrence of ``pair`` in place."""
    at = 0
    while at < len(tokens) - 1:
        if (tokens[at], tokens[at + 1]) == pair:
            tokens[at : at + 2] = ["".join(pair)]
        at += 1
