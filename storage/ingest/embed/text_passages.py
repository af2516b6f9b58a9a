"""Build the passages of a source: caption, subtitles, text chunks and file name."""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from sightline.storage.errors import MediaError
from sightline.storage.import_lock import import_lock
from sightline.storage.ingest.discover.sidecars import WarningSink
from sightline.storage.ingest.embed.batch_encoder import BatchEncoder
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import (
    AnalyzedPassage,
    DecodedSource,
    EmbeddedSource,
    FailedSource,
    PassageDraft,
    file_of,
)
from sightline.storage.text.analyzer import analyze

if TYPE_CHECKING:
    from llama_index.core.node_parser import SentenceSplitter

# A word (at most 16 letters of it), one CJK character, or one other character.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\uffff]{1,16}|\S")
# Possessive, and only from the first sign of a run: otherwise a million full stops without a space
# after them would be scanned a million times.
_SENTENCE_END = re.compile(r"(?:(?<![.!?])[.!?]++[\"')\]]*+(?=\s)|[。！？…]++[”’）」』]*+|\n)\s*+")
_MAX_SENTENCE_CHARS = 200
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class TextChunk:
    """The part ``text[start:end]`` of a file, in characters."""

    text: str
    start: int
    end: int


async def add_passages(
    sources: Sequence[EmbeddedSource | FailedSource],
    encoder: BatchEncoder[str] | None,
    options: IngestOptions,
    warn: WarningSink,
) -> list[EmbeddedSource | FailedSource]:
    """Return the sources with their passages, analyzed and embedded.

    A passage that the encoder rejects is a warning: it can still be found by its terms. Passages of
    file names get no vector, because names are searched as they are written.
    """
    analyzed = await asyncio.to_thread(
        lambda: [
            replace(each, passages=tuple(_analyze(each.decoded, options)))
            if isinstance(each, EmbeddedSource)
            else each
            for each in sources
        ]
    )
    if encoder is None:
        return analyzed
    texts = [
        passage.draft.text
        for each in analyzed
        if isinstance(each, EmbeddedSource)
        for passage in each.passages
        if passage.draft.kind != "name"
    ]
    vectors = iter(await encoder(texts) if texts else [])
    embedded: list[EmbeddedSource | FailedSource] = []
    for each in analyzed:
        if isinstance(each, EmbeddedSource):
            passages: list[AnalyzedPassage] = []
            for passage in each.passages:
                vector = next(vectors) if passage.draft.kind != "name" else None
                if isinstance(vector, MediaError):
                    warn("passage_not_encoded", file_of(each).name, str(vector))
                    vector = None
                passages.append(replace(passage, vector=vector))
            embedded.append(replace(each, passages=tuple(passages)))
        else:
            embedded.append(each)
    return embedded


def filename_passage(name: str) -> AnalyzedPassage:
    """Return the passage of a source's file name, so that its words find the source.

    Folders are left out: they say little about the file. ``SitePlan`` becomes two words,
    ``A12.pdf`` a number and a file type, and ``LGA1700-bracket`` both one name and two.
    """
    base = posixpath.basename(name)
    stem, suffix = posixpath.splitext(base)
    words = _CAMEL_CASE.sub(" ", stem)
    variants = dict.fromkeys([words, words.replace("-", " "), suffix.removeprefix(".")])
    return AnalyzedPassage(PassageDraft("name", 0, base), analyze(" ".join(variants)))


def split_text(text: str, chunk_tokens: int, overlap_tokens: int) -> list[TextChunk]:
    """Split text into chunks of whole sentences, up to ``chunk_tokens`` long.

    Neighbors share up to ``overlap_tokens``. LlamaIndex splits; the offsets are searched here,
    because its own are wrong for repeated text.
    """
    chunks: list[TextChunk] = []
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
        chunks.append(TextChunk(piece, start, start + len(piece)))
        min_start, last_end = start + 1, start + len(piece)
    return chunks


def _analyze(decoded: DecodedSource, options: IngestOptions) -> Iterator[AnalyzedPassage]:
    for draft in _drafts(decoded, options):
        yield AnalyzedPassage(draft, analyze(draft.text))
    yield filename_passage(file_of(decoded).name)


def _drafts(decoded: DecodedSource, options: IngestOptions) -> Iterator[PassageDraft]:
    sidecar = file_of(decoded).sidecar
    subtitles = sidecar.subtitles if sidecar and decoded.kind == "video" else ()
    for draft in decoded.passages:
        # Subtitles in a sidecar replace those in the video file.
        if not (subtitles and draft.kind == "subtitle"):
            yield draft
    if decoded.kind == "image" and sidecar is not None and sidecar.caption:
        yield PassageDraft("caption", 0, sidecar.caption, asset=0)
    for number, cue in enumerate(subtitles):
        yield PassageDraft(
            "subtitle", number, cue.text, start_seconds=cue.start, end_seconds=cue.end
        )
    if decoded.text is not None:
        chunks = split_text(decoded.text, options.chunk_tokens, options.chunk_overlap_tokens)
        for number, chunk in enumerate(chunks):
            yield PassageDraft(
                "chunk", number, chunk.text, char_start=chunk.start, char_end=chunk.end
            )


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


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
        tokenizer=_tokens,
        chunking_tokenizer_fn=_sentences,
    )
