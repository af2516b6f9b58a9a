"""Cut a text file into passages, each with its place in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama_index.core.node_parser import SentenceSplitter

# A word (up to 16 letters of it), one Chinese, Japanese or Korean character, or one other sign.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\uffff]{1,16}|\S")
# Possessive, and only from the first sign of a row of them: else a row of a million full stops that
# no space follows is looked through a million times.
_SENTENCE_END = re.compile(r"(?:(?<![.!?])[.!?]++[\"')\]]*+(?=\s)|[。！？…]++[”’）」』]*+|\n)\s*+")
_LONGEST_SENTENCE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: ``text[start:end]`` of the file, in characters."""

    text: str
    start: int
    end: int


def split_text(text: str, chunk_tokens: int, overlap_tokens: int) -> list[Chunk]:
    """Whole sentences, up to ``chunk_tokens`` words or Chinese characters a chunk.

    Neighbours share up to ``overlap_tokens``. LlamaIndex does the cutting; where each chunk
    stands is found again here, since it keeps no offsets that hold for repeated text.
    """
    chunks: list[Chunk] = []
    least, reach = 0, 0  # a chunk starts after the last one's start and, but for spaces, in it
    for piece in _splitter(chunk_tokens, overlap_tokens).split_text(text):
        limit = reach + len(piece)
        while limit - len(piece) < len(text) and text[limit - len(piece)].isspace():
            limit += 1
        start = text.rfind(piece, least, limit)
        if start < 0:
            start = text.find(piece, least)
        if start < 0:
            start = text.find(piece)
        chunks.append(Chunk(piece, start, start + len(piece)))
        least, reach = start + 1, start + len(piece)
    return chunks


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _sentences(text: str) -> list[str]:
    """Sentences with the space after them; one that goes on for ever is cut."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return [
        text[at : min(at + _LONGEST_SENTENCE_CHARS, end)]
        for start, end in pairwise([0, *ends, len(text)])
        for at in range(start, end, _LONGEST_SENTENCE_CHARS)
    ]


@cache
def _splitter(chunk_tokens: int, overlap_tokens: int) -> SentenceSplitter:
    # Imported late: it takes two seconds. Its own tokenisers would want data files.
    from llama_index.core.node_parser import SentenceSplitter

    return SentenceSplitter(
        chunk_size=chunk_tokens,
        chunk_overlap=overlap_tokens,
        tokenizer=_tokens,
        chunking_tokenizer_fn=_sentences,
    )
