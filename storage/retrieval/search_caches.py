"""Caches that the searches of a process share; each caller has its own entries."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sightline.storage.interfaces import EncoderIdentity, Vectors
from sightline.storage.isolation.caller_cache import CallerCache, TtlCache
from sightline.storage.retrieval.filters.filter_compiler import MetadataFields

if TYPE_CHECKING:
    from sightline.storage.records.encoder_reliability import EncoderReliability

TTL_SECONDS = 60.0


def counting_ttl(started: float, minimum: float = TTL_SECONDS) -> float:
    """Return a TTL in seconds that spends at most 0.1% of the time on counting.

    ``started``: when the count began, by ``time.monotonic``.
    """
    return max(minimum, 1000 * (time.monotonic() - started))


class VectorSample(NamedTuple):
    """Random unit vectors (float32, shape (n, dimension)) of ``population`` vectors."""

    vectors: Vectors
    population: int


@dataclass(frozen=True, slots=True)
class SearchCaches:
    """All caches of the searches; create one for each process.

    What a caller sees decides the values, and the caches separate callers. So one caller's searches
    and collections never change the scores, thresholds or times of another.
    """

    metadata_fields: CallerCache[tuple[int, ...], MetadataFields] = field(
        default_factory=lambda: CallerCache(128, ttl_seconds=TTL_SECONDS)
    )
    """Metadata keys with their types, by collection ids."""
    wide_scopes: CallerCache[str, bool] = field(
        default_factory=lambda: CallerCache(200, ttl_seconds=TTL_SECONDS)
    )
    """Fingerprints of scopes that match too many rows for an exact scan."""
    term_counts: CallerCache[str, int] = field(default_factory=lambda: CallerCache(5_000))
    """Number of visible passages that contain a term."""
    passage_statistics: TtlCache[tuple[int, ...] | None, tuple[int, float]] = field(
        default_factory=lambda: TtlCache(128)
    )
    """Number of passages and mean length, by collection ids (None: all visible collections)."""
    vector_samples: TtlCache[tuple[int, tuple[int, ...]], VectorSample] = field(
        default_factory=lambda: TtlCache(24, max_total=96)  # a megabyte or two each
    )
    """Samples for null distributions, by space id and collection ids."""
    encoder_reliability: TtlCache[tuple[EncoderIdentity, tuple[int, ...]], EncoderReliability] = (
        field(default_factory=lambda: TtlCache(128))
    )
    """What was measured, by encoder and collection ids."""
