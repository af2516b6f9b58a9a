"""Search for images by text, by image, by examples, or by a mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightline.storage.db.queries import Connection
from sightline.storage.interfaces import EncoderIdentity, ImageEncoder, TextEncoder, Vectors
from sightline.storage.picture_hashes import PictureHashes
from sightline.storage.records import assets
from sightline.storage.records.encoder_reliability import EncoderReliability
from sightline.storage.retrieval.filters.filter_columns import ASSETS
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.hydrate.hydration import image_text, load_passages, load_regions
from sightline.storage.retrieval.query_planner import (
    encode_query,
    load_example_vectors,
    load_picture,
    plan_retrievers,
)
from sightline.storage.retrieval.ranking.fusion import FusedHit
from sightline.storage.retrieval.ranking.reranker import RerankCandidate
from sightline.storage.retrieval.retrievers.similarity_calibration import vector_sample
from sightline.storage.retrieval.search_pipeline import SearchPipeline
from sightline.storage.retrieval.search_types import ImageHit, ImageRequest, Key, Retriever
from sightline.storage.text.query_analysis import QueryTerm
from sightline.storage.types import Level


@dataclass(eq=False, repr=False)
class ImageSearch(SearchPipeline[ImageRequest, ImageHit]):
    """Finds images by appearance and by the text on and around them.

    ``passage_encoder`` encodes queries for captions and other passages; None uses words only.
    """

    level = "asset"
    schema = ASSETS

    image_encoder: ImageEncoder
    passage_encoder: TextEncoder | None

    def _encoders(self) -> Mapping[Level, EncoderIdentity]:
        identity = self.image_encoder.identity
        encoders: dict[Level, EncoderIdentity] = {"asset": identity, "region": identity}
        if self.passage_encoder is not None:
            encoders["passage"] = self.passage_encoder.identity
        return encoders

    async def _plan(
        self, request: ImageRequest, query: str, scope: SearchScope, reliability: EncoderReliability
    ) -> Sequence[Retriever]:
        examples: Mapping[str, Vectors] = {}
        mean: Vectors | None = None
        picture: PictureHashes | None = None
        if request.named_assets or request.unlike:
            async with self.database.connection(autocommit=True) as connection:
                examples = await load_example_vectors(connection, request, scope)
                picture = await load_picture(connection, request, query)
                if request.unlike and request.visual_weight != 0 and "asset" in scope.spaces:
                    space = scope.spaces["asset"].space
                    sample = await vector_sample(connection, space, scope, self.caches)
                    mean = sample.vectors.mean(axis=0) if len(sample.vectors) else None
        encoded = await encode_query(
            request, query, self.image_encoder, self.passage_encoder, examples, picture
        )
        return plan_retrievers(
            encoded,
            request.visual_weight,
            database=self.database,
            scope=scope,
            caches=self.caches,
            reliability=reliability,
            mean=mean,
        )

    async def _rerank_candidates(
        self, connection: Connection, hits: Sequence[FusedHit]
    ) -> list[RerankCandidate]:
        """Return each asset with its caption and the matched passage."""
        ids = [str(hit.key) for hit in hits]
        records = await assets.find(connection, ids)
        passages = await load_passages(connection, [hit.passage_id for hit in hits])
        uses_images = self.reranker is not None and self.reranker.model.uses_images
        thumbnails = await assets.thumbnails(connection, ids) if uses_images else {}
        return [
            RerankCandidate(
                hit.key,
                image_text(records.get(id_), passages.get(hit.passage_id or 0)),
                thumbnails.get(id_),
            )
            for hit, id_ in zip(hits, ids, strict=True)
        ]

    async def _hydrate(
        self, connection: Connection, hits: Sequence[FusedHit], terms: Sequence[QueryTerm] = ()
    ) -> dict[Key, ImageHit]:
        records = await assets.find(connection, [str(hit.key) for hit in hits])
        passages = await load_passages(connection, [hit.passage_id for hit in hits], terms)
        # The place of the words is exact, that of a tile is not.
        by_words = {id_ for id_, passage in passages.items() if passage.has_words}
        regions = await load_regions(
            connection, [hit.region_id for hit in hits if hit.passage_id not in by_words]
        )
        return {
            hit.key: ImageHit(
                asset=records[str(hit.key)],
                score=hit.score,
                retrievers=hit.retrievers,
                weak=hit.weak,
                region=regions.get(hit.region_id or 0),
                passage=passages.get(hit.passage_id or 0),
                duplicates=hit.duplicates,
            )
            for hit in hits
            if hit.key in records
        }
