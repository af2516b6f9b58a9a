"""Split texts into chunks of whole sentences, and find the terms of passages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from sightline.storage.import_lock import import_lock
from sightline.storage.ingest.decode.worker.worker_protocol import PackedAnalysis, TextPassage
from sightline.storage.text.analyzer import analyze

if TYPE_CHECKING:
    from llama_index.core.node_parser import SentenceSplitter

# A word (at most 16 letters of it), one CJK character, or one other character.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\uffff]{1,16}|\S")
# Possessive, and only from the first sign of a run: otherwise a million full stops without a space
# after them would be scanned a million times.
_SENTENCE_END = re.compile(r"(?:(?<![.!?])[.!?]++[\"')\]]*+(?=\s)|[。！？…]++[”’）」』]*+|\n)\s*+")
_MAX_SENTENCE_CHARS = 200


def split_text(
    text: str, chunk_tokens: int, overlap_tokens: int, max_chars: int = sys.maxsize
) -> Iterator[TextPassage]:
    """Yield chunks of whole sentences, up to ``chunk_tokens`` long.

    Neighbors share up to ``overlap_tokens``. Space is no token: a chunk of more than ``max_chars``
    is cut.
    """
    for start, end in _spans(text, chunk_tokens, overlap_tokens):
        for at in range(start, end, max_chars):
            piece = text[at : min(at + max_chars, end)]
            yield TextPassage(piece, chars=(at, at + len(piece)))


def pack_analysis(text: str) -> PackedAnalysis:
    """Return the search data of a passage, without the objects of thousands of terms."""
    analysis = analyze(text)
    return PackedAnalysis(
        analysis.language,
        analysis.tsvector,
        "\n".join(analysis.frequencies),
        list(analysis.frequencies.values()),
        analysis.token_count,
        "\n".join(analysis.words),
    )


def _spans(text: str, chunk_tokens: int, overlap_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each chunk.

    LlamaIndex splits; the offsets are searched here, because its own are wrong for repeated text.
    """
    if not any(islice(_TOKEN.finditer(text), chunk_tokens, None)):  # one chunk, without LlamaIndex
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        if start < end:
            yield start, end
        return
    # A chunk starts after the start of the last one and, except for spaces, not after its end.
    min_start, last_end = 0, 0
    for piece in _splitter(chunk_tokens, overlap_tokens).split_text(text):
        limit = last_end + len(piece)
        while limit - len(piece) < len(text) and text[limit - len(piece)].isspace():
            limit += 1
        start = text.rfind(piece, min_start, limit)
        if start < 0:
            start = text.find(piece, min_start)
        if start < 0:
            start = text.find(piece)
        min_start, last_end = start + 1, start + len(piece)
        yield start, last_end


def _sentences(text: str) -> list[str]:
    """Return sentences with the space after them; very long ones are cut."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return [
        text[at : min(at + _MAX_SENTENCE_CHARS, end)]
        for start, end in pairwise([0, *ends, len(text)])
        for at in range(start, end, _MAX_SENTENCE_CHARS)
    ]


@cache
def _splitter(chunk_tokens: int, overlap_tokens: int) -> SentenceSplitter:
    # Imported late: it takes two seconds. Its default tokenizers would need data files.
    with import_lock:
        from llama_index.core.node_parser import SentenceSplitter

    return SentenceSplitter(
        chunk_size=chunk_tokens,
        chunk_overlap=overlap_tokens,
        tokenizer=_TOKEN.findall,
        chunking_tokenizer_fn=_sentences,
    )
