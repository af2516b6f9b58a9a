"""Decide which retrievers run for an image request, and with which query.

text_to_image     text against whole images
text_to_region    text against regions of images (if there are any)
image_to_image    an image and liked examples against whole images
image_to_region   an image against regions of images
text_to_passage   text against captions and other passages, by meaning
lexical           text against captions and other passages, by words
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sightline.storage.db.pool import Database
from sightline.storage.interfaces import Vectors
from sightline.storage.retrieval.filters.search_scope import SearchScope, require_phrases
from sightline.storage.retrieval.query.encoded_query import EncodedQuery, rocchio
from sightline.storage.retrieval.request_validation import MAX_RESULTS
from sightline.storage.retrieval.retrievers.base_retriever import Retriever
from sightline.storage.retrieval.retrievers.lexical_retriever import LexicalRetriever
from sightline.storage.retrieval.retrievers.vector_retriever import VectorRetriever
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.types import Level


@dataclass(frozen=True, slots=True)
class QueryPlanner:
    """Plans the retrievers of one image search.

    ``reliability`` (0 to 1 by collection id) scales the confidence of text queries on images.
    ``mean`` is the mean vector of the searched images. ``shared_encoder`` says that one encoder
    made the vectors of images and passages. Then passages are not searched by meaning: the vector
    of a caption repeats that of its image, and captioned images would get two votes. (On a
    synthetic album, nDCG@10 was 0.756 with it and 0.770 without; for exact captions 0.916 and
    0.962.)
    """

    database: Database
    scope: SearchScope
    caches: SearchCaches
    reliability: Mapping[int, float]
    mean: Vectors | None
    shared_encoder: bool

    def plan(self, query: EncodedQuery, visual_weight: float | None) -> list[Retriever]:
        """Return the retrievers, without those of a modality that has no weight."""
        retrievers: list[Retriever] = []
        if visual_weight is None or visual_weight > 0:
            retrievers += self._visual(query)
        if query.text and (visual_weight is None or visual_weight < 1):
            retrievers += self._textual(query)
        return retrievers

    def _visual(self, query: EncodedQuery) -> list[Retriever]:
        image = rocchio(query.image, query.like, query.unlike, self.mean)
        retrievers: list[Retriever] = []
        if image is not None:
            retrievers += self._vector("image_to_image", "asset", image)
            if query.image is not None:
                retrievers += self._vector("image_to_region", "region", image)
        if query.image_text is not None:
            # With an image query, the examples steer the image only.
            unlike = query.unlike if image is None else query.unlike[:0]
            text = rocchio(query.image_text, query.like[:0], unlike, self.mean)
            if text is not None:
                retrievers += self._vector("text_to_image", "asset", text, self.reliability)
                retrievers += self._vector("text_to_region", "region", text, self.reliability)
        return retrievers

    def _vector(
        self,
        name: str,
        space_level: Level,
        vector: Vectors,
        reliability: Mapping[int, float] | None = None,
    ) -> list[Retriever]:
        if "asset" not in self.scope.spaces or space_level not in self.scope.spaces:
            return []
        return [
            VectorRetriever(
                name=name,
                modality="visual",
                database=self.database,
                scope=self.scope,
                space=self.scope.spaces[space_level].space,
                caches=self.caches,
                vector=vector,
                level="asset",
                limit=MAX_RESULTS,
                reliability=reliability or {},
            )
        ]

    def _textual(self, query: EncodedQuery) -> list[Retriever]:
        scope = require_phrases(self.scope, query.text)
        retrievers: list[Retriever] = [
            LexicalRetriever(
                database=self.database,
                scope=scope,
                caches=self.caches,
                query=query.text,
                level="asset",
                limit=MAX_RESULTS,
            )
        ]
        passages = scope.spaces.get("passage")
        if query.passage_text is not None and passages is not None and not self.shared_encoder:
            retrievers.append(
                VectorRetriever(
                    name="text_to_passage",
                    modality="text",
                    database=self.database,
                    scope=scope,
                    space=passages.space,
                    caches=self.caches,
                    vector=query.passage_text,
                    level="asset",
                    limit=MAX_RESULTS,
                )
            )
        return retrievers
