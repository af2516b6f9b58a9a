"""Complete the passages of sources: file names, short texts and vectors."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Event

from sightline.storage.errors import MediaError
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.worker.passages import pack_analysis
from sightline.storage.ingest.discover.sidecars import WarningSink
from sightline.storage.ingest.embed.embed_stage import BatchEncoder
from sightline.storage.types import NAME_KINDS

_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Names of files have at most 255 bytes; those of uploads and URLs can be longer.
_MAX_NAME_CHARS = 1_000


async def add_vectors(
    sources: Sequence[stages.FinishedSource],
    encoder: BatchEncoder[str],
    warn: WarningSink,
) -> list[stages.FinishedSource]:
    """Return the sources with the vectors of their passages.

    A passage that the encoder rejects is a warning: it can still be found by its terms. Passages
    outside of the encoder's vocabulary get no vector, which would match any other such text.
    Passages of names get none, because names are searched as they are written.
    """
    texts = [
        passage.draft.text
        for each in sources
        if isinstance(each, stages.EmbeddedSource)
        for passage in each.passages
        if passage.draft.kind not in NAME_KINDS
    ]
    vectors = iter(await encoder(texts) if texts else [])
    embedded: list[stages.FinishedSource] = []
    for source in sources:
        if not isinstance(source, stages.EmbeddedSource):
            embedded.append(source)
            continue
        passages: list[stages.AnalyzedPassage] = []
        for passage in source.passages:
            vector = None if passage.draft.kind in NAME_KINDS else next(vectors)
            if isinstance(vector, MediaError):
                warn("passage_not_encoded", source.hashed.file.name, str(vector))
                vector = None
            is_unknown = vector is not None and not vector.any()
            passages.append(
                replace(
                    passage,
                    vector=None if is_unknown else vector,
                    outside_vocabulary=is_unknown,
                )
            )
        embedded.append(replace(source, passages=tuple(passages)))
    return embedded


def add_passages(
    sources: Sequence[stages.FinishedSource], stop: Event
) -> list[stages.FinishedSource]:
    """Return the sources with their passages; a worker has analyzed all long ones.

    Ends early when ``stop`` is set.
    """
    complete: list[stages.FinishedSource] = []
    for source in sources:
        if stop.is_set():
            break
        complete.append(
            replace(source, passages=tuple(_analyzed(source)))
            if isinstance(source, stages.EmbeddedSource)
            else source
        )
    return complete


def filename_passage(name: str) -> stages.AnalyzedPassage:
    """Return the passage of a source's file name, so that its words find the source.

    Folders are left out: they say little about the file. ``SitePlan`` becomes two words,
    ``A12.pdf`` a number and a file type, and ``LGA1700-bracket`` both one name and two.
    """
    base = posixpath.basename(name)[-_MAX_NAME_CHARS:]
    stem, suffix = posixpath.splitext(base)
    words = _CAMEL_CASE.sub(" ", stem)
    variants = dict.fromkeys([words, words.replace("-", " "), suffix.removeprefix(".")])
    draft = stages.PassageDraft("name", 0, base)
    return stages.AnalyzedPassage(draft, pack_analysis(" ".join(variants)))


def _analyzed(source: stages.EmbeddedSource) -> Iterator[stages.AnalyzedPassage]:
    drafts, analyses = source.decoded.passages, source.decoded.analyses
    if not analyses:
        analyses = tuple(pack_analysis(draft.indexed_text) for draft in drafts)
    for draft, analysis in zip(drafts, analyses, strict=True):
        yield stages.AnalyzedPassage(draft, analysis)
    yield filename_passage(source.hashed.file.name)
