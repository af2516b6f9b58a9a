"""Measure how reliable the image encoder is, at the end of an ingest.

Captions say what users ask for, so they decide. Without enough of them, the encoder is reliable if
it finds images by the text that is written on them (OCR, text of pages), or if their pictures are
like those it was trained on. What nothing measures counts as reliable.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from sightline.storage.db.pool import Database
from sightline.storage.errors import MediaError, ModelError
from sightline.storage.ingest.embed.embed_stage import BatchEncoder
from sightline.storage.interfaces import FamiliarityMeasure, ImageEncoder, Vectors
from sightline.storage.records import encoder_reliability
from sightline.storage.records.collections import Collection
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.records.encoder_reliability import (
    MIN_TEXTS,
    AssetSample,
    text_agreement,
)

logger = logging.getLogger(__name__)

_MIN_DEVIATION = 1e-6


async def judge_encoder(
    database: Database,
    space: EmbeddingSpace,
    collection: Collection,
    encoder: ImageEncoder,
    *,
    added: int,
    batch_size: int,
) -> list[str]:
    """Measure if anything was ``added``; return a note if words do not find pictures."""
    if added:
        await measure_reliability(
            database, space, collection.id, encoder, added=added, batch_size=batch_size
        )
    async with database.connection() as connection:
        found = await encoder_reliability.load(connection, space.identity, [collection.id])
    names = {collection.id: collection.name}
    note = encoder_reliability.unknown_pictures(found, space.identity, names)
    return [] if note is None else [note]


async def measure_reliability(
    database: Database,
    space: EmbeddingSpace,
    collection_id: int,
    encoder: ImageEncoder,
    *,
    added: int,
    batch_size: int = 32,
) -> None:
    """Measure and store the reliability for each kind of asset that has changed much.

    ``space`` has the vectors of whole assets by ``encoder``; ``added`` is the number of assets and
    passages that the ingest added.
    """
    async with database.connection() as connection:
        kinds = await encoder_reliability.changed_kinds(
            connection, space, collection_id, added=added
        )
        samples = [
            await encoder_reliability.load_sample(connection, space, collection_id, each.kind)
            for each in kinds
        ]
    encode = BatchEncoder(encoder.encode_texts, space.identity.dimension, batch_size)
    for kind, sample in zip(kinds, samples, strict=True):
        try:
            reliability, deviation = await _measure(sample, encoder, encode)
        except ModelError as error:
            logger.warning("cannot measure how reliable the encoder is: %s", error)
            return
        async with database.write_connection() as connection:
            await encoder_reliability.store(
                connection, space, collection_id, kind, reliability, deviation
            )


async def _measure(
    sample: AssetSample, encoder: ImageEncoder, encode: BatchEncoder[str]
) -> tuple[float, float | None]:
    """Return the reliability, and the deviation of a text's similarities if known."""
    captioned = await _agreement(sample.captions, sample.vectors, encode)
    if captioned is not None:
        return captioned
    written = await _agreement(sample.written, sample.vectors, encode)
    familiarity = (
        encoder.familiarity(sample.vectors) if isinstance(encoder, FamiliarityMeasure) else None
    )
    measured = [each for each in (written and written[0], familiarity) if each is not None]
    return max(measured, default=1.0), written and written[1]


async def _agreement(
    texts: Sequence[str], images: Vectors, encode: BatchEncoder[str]
) -> tuple[float, float] | None:
    """Return agreement of texts with their images and deviation; None if too few."""
    rows = [row for row, text in enumerate(texts) if text.strip()]
    if len(rows) < MIN_TEXTS:
        return None
    vectors = await encode([texts[row] for row in rows])
    pairs = [
        (vector, images[row])
        for row, vector in zip(rows, vectors, strict=True)
        if not isinstance(vector, MediaError)
    ]
    if len(pairs) < MIN_TEXTS:
        return None
    told, seen = (np.stack(each) for each in zip(*pairs, strict=True))
    deviation = float(np.sqrt((told @ seen.T).var(axis=1).mean()))
    if deviation < _MIN_DEVIATION:  # equal pictures, which no text can tell apart
        return None
    return text_agreement(told, seen), deviation
