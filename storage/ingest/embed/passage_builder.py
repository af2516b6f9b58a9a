"""Text of finished work: captions and chunks, analysed and encoded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sightline.storage.errors import MediaError
from sightline.storage.ingest.discover.sidecars import Report
from sightline.storage.ingest.embed.batch_encoder import BatchEncoder
from sightline.storage.ingest.embed.filename_passages import name_passage
from sightline.storage.ingest.embed.text_chunks import split_text
from sightline.storage.ingest.ingest_items import PassageDraft, Work
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.text.analyzer import analyze


async def prepare_passages(
    works: Sequence[Work],
    encoder: BatchEncoder[str] | None,
    options: IngestOptions,
    report: Report,
) -> None:
    """Give each work its passages, with terms and, where there is an encoder, vectors.

    One that the encoder cannot take is still found by its words; that is reported.
    """
    await asyncio.to_thread(_cut_and_analyse, works, options)
    if encoder is None:
        return
    found = [(work, passage) for work in works for passage in work.passages]
    if not found:
        return
    results = await encoder([passage.text for _, passage in found])
    for (work, passage), result in zip(found, results, strict=True):
        if isinstance(result, MediaError):
            report("passage_not_encoded", work.found.name, str(result))
        else:
            passage.vector = result


def _cut_and_analyse(works: Sequence[Work], options: IngestOptions) -> None:
    for work in works:
        if work.failure is not None:
            continue
        sidecar = work.found.sidecar
        if work.kind == "image" and sidecar is not None and sidecar.caption:
            work.passages.append(PassageDraft("caption", 0, sidecar.caption, on_asset=0))
        if work.kind == "video" and sidecar is not None and sidecar.subtitles:
            # A person put them there: they stand for those that the film carries.
            work.passages = [each for each in work.passages if each.kind != "subtitle"]
            work.passages += [
                PassageDraft("subtitle", n, c.text, start_seconds=c.start, end_seconds=c.end)
                for n, c in enumerate(sidecar.subtitles)
            ]
        if work.text is not None:
            chunks = split_text(work.text, options.chunk_tokens, options.chunk_overlap_tokens)
            work.passages += [
                PassageDraft("chunk", n, c.text, char_start=c.start, char_end=c.end)
                for n, c in enumerate(chunks)
            ]
            work.text = None
        for passage in work.passages:
            passage.analysis = analyze(passage.text)
        work.named = name_passage(work.found.name)
