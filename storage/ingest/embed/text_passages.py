"""Build the passages of a source: caption, subtitles, text chunks and file name."""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from sightline.storage.errors import MediaError
from sightline.storage.import_lock import import_lock
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.discover.sidecars import WarningSink
from sightline.storage.ingest.embed.embed_stage import BatchEncoder
from sightline.storage.ingest.ingest_options import IngestOptions
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


async def add_passages(
    sources: Sequence[stages.FinishedSource],
    encoder: BatchEncoder[str] | None,
    options: IngestOptions,
    warn: WarningSink,
) -> list[stages.FinishedSource]:
    """Return the sources with their passages, analyzed and embedded.

    A passage that the encoder rejects is a warning: it can still be found by its terms. Passages of
    file names get no vector, because names are searched as they are written.
    """
    analyzed = await asyncio.to_thread(lambda: [_analyze(each, options) for each in sources])
    if encoder is None:
        return analyzed
    texts = [
        passage.draft.text
        for each in analyzed
        if isinstance(each, stages.EmbeddedSource)
        for passage in each.passages
        if passage.draft.kind != "name"
    ]
    vectors = iter(await encoder(texts) if texts else [])
    for index, each in enumerate(analyzed):
        if isinstance(each, stages.EmbeddedSource):
            passages: list[stages.AnalyzedPassage] = []
            for passage in each.passages:
                vector = next(vectors) if passage.draft.kind != "name" else None
                if isinstance(vector, MediaError):
                    warn("passage_not_encoded", each.hashed.file.name, str(vector))
                    vector = None
                passages.append(replace(passage, vector=vector))
            analyzed[index] = replace(each, passages=tuple(passages))
    return analyzed


def filename_passage(name: str) -> stages.AnalyzedPassage:
    """Return the passage of a source's file name, so that its words find the source.

    Folders are left out: they say little about the file. ``SitePlan`` becomes two words,
    ``A12.pdf`` a number and a file type, and ``LGA1700-bracket`` both one name and two.
    """
    base = posixpath.basename(name)
    stem, suffix = posixpath.splitext(base)
    words = _CAMEL_CASE.sub(" ", stem)
    variants = dict.fromkeys([words, words.replace("-", " "), suffix.removeprefix(".")])
    return stages.AnalyzedPassage(stages.PassageDraft("name", 0, base), analyze(" ".join(variants)))


def split_text(text: str, chunk_tokens: int, overlap_tokens: int) -> list[stages.PassageDraft]:
    """Split text into chunks of whole sentences, up to ``chunk_tokens`` long.

    Neighbors share up to ``overlap_tokens``. LlamaIndex splits; the offsets are searched here,
    because its own are wrong for repeated text.
    """
    chunks: list[stages.PassageDraft] = []
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
        chunks.append(stages.PassageDraft("chunk", len(chunks), piece, chars=(start, last_end)))
    return chunks


def _analyze(source: stages.FinishedSource, options: IngestOptions) -> stages.FinishedSource:
    if not isinstance(source, stages.EmbeddedSource):
        return source
    drafts = _drafts(source.decoded, options)
    passages = [stages.AnalyzedPassage(draft, analyze(draft.text)) for draft in drafts]
    return replace(source, passages=(*passages, filename_passage(source.hashed.file.name)))


def _drafts(decoded: stages.DecodedSource, options: IngestOptions) -> Iterator[stages.PassageDraft]:
    sidecar = decoded.hashed.file.sidecar
    subtitles = sidecar.subtitles if sidecar and decoded.kind == "video" else ()
    for draft in decoded.passages:
        # Subtitles in a sidecar replace those in the video file.
        if not (subtitles and draft.kind == "subtitle"):
            yield draft
    if decoded.kind == "image" and sidecar is not None and sidecar.caption:
        yield stages.PassageDraft("caption", 0, sidecar.caption, asset=0)
    for number, cue in enumerate(subtitles):
        yield stages.PassageDraft("subtitle", number, cue.text, seconds=(cue.start, cue.end))
    if decoded.text is not None:
        yield from split_text(decoded.text, options.chunk_tokens, options.chunk_overlap_tokens)


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
