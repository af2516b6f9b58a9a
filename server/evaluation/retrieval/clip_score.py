"""CLIP score: how well pictures fit words, as the collection's own encoder sees it.

2.5 times the cosine of the two vectors, and never below 0 (Hessel et al., "CLIPScore: A
Reference-free Evaluation Metric for Image Captioning", EMNLP 2021). It needs no judgements; it is
blind where the encoder is, and one encoder's scores cannot be held against another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sightline.server.evaluation.bootstrap import Estimate, estimate
from sightline.storage.interfaces import Vectors
from sightline.storage.records import embedding_spaces
from sightline.storage.retrieval.hydrate import hydration
from sightline.tools.shared.dependencies import Dependencies

_WEIGHT = 2.5
_TEXTS_AT_ONCE = 64


async def clip_scores(
    deps: Dependencies,
    words: Sequence[str],
    topics: Sequence[str],
    pictures: Mapping[str, Sequence[str | None]],
) -> dict[str, Estimate]:
    """The mean score of each kind of picture for the words, by the kind's name.

    ``pictures`` has an asset's id for each of ``words``, or ``None`` where there is none, which is
    left out; so are assets that have no vector of this encoder.
    """
    encoder = await deps.encoder.get()
    database = await deps.database.get()
    parts = [
        await encoder.encode_texts(words[start : start + _TEXTS_AT_ONCE])
        for start in range(0, len(words), _TEXTS_AT_ONCE)
    ]
    texts: Vectors = np.concatenate(parts)
    ids = sorted({id_ for each in pictures.values() for id_ in each if id_ is not None})
    async with database.connection() as connection:
        space = await embedding_spaces.get_or_create(connection, encoder.identity, "asset")
        vectors = await hydration.vectors(connection, space, ids)
    found: dict[str, Estimate] = {}
    for name, chosen in pictures.items():
        scored = [place for place, id_ in enumerate(chosen) if id_ in vectors]
        cosines = [float(texts[place] @ vectors[chosen[place] or ""]) for place in scored]
        values = _WEIGHT * np.maximum(np.array(cosines, dtype=np.float64), 0)
        found[name] = estimate(values, [topics[place] for place in scored])
    return found
