"""Search for images by text, by image, by examples, or by a mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.interfaces import EncoderIdentity, ImageEncoder, TextEncoder, Vectors
from sightline.storage.records import assets
from sightline.storage.retrieval.filters.filter_schema import ASSETS
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.hydrate.hydration import load_passages, load_regions
from sightline.storage.retrieval.query.encoded_query import (
    encode_query,
    load_example_vectors,
    named_assets,
)
from sightline.storage.retrieval.query.query_planner import QueryPlanner
from sightline.storage.retrieval.ranking.fusion import FusedHit
from sightline.storage.retrieval.ranking.mmr import DiversifiedHits
from sightline.storage.retrieval.ranking.reranker import RerankCandidate, RerankStage
from sightline.storage.retrieval.request_validation import validate_image_request
from sightline.storage.retrieval.retrievers.base_retriever import Key, Retriever
from sightline.storage.retrieval.retrievers.null_distribution import vector_sample
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_pipeline import ScopeStage, SearchPipeline, ValidRequest
from sightline.storage.retrieval.search_types import ImageHit, ImageRequest
from sightline.storage.text.analyzer import analyze_query
from sightline.storage.types import Level


@dataclass(frozen=True, slots=True)
class ExampleVectors:
    """Stored vectors of named assets, and the mean vector of the searched images."""

    by_asset: Mapping[str, Vectors]
    mean: Vectors | None


class ImageSearch(SearchPipeline[ImageRequest, ImageHit, ExampleVectors]):
    """Finds images by appearance and by the text on and around them.

    ``passage_encoder`` encodes queries for captions and other passages; None uses words only.
    """

    level = "asset"
    schema = ASSETS

    def __init__(
        self,
        database: Database,
        image_encoder: ImageEncoder,
        passage_encoder: TextEncoder | None,
        *,
        signing_key: bytes,
        reranker: RerankStage | None = None,
        caches: SearchCaches | None = None,
    ) -> None:
        super().__init__(database, signing_key=signing_key, reranker=reranker, caches=caches)
        self._image_encoder = image_encoder
        self._passage_encoder = passage_encoder

    @property
    def _measures_reliability(self) -> bool:
        """Return whether images and passages share one encoder."""
        encoder = self._passage_encoder
        return encoder is not None and encoder.identity == self._image_encoder.identity

    @property
    def _uses_images(self) -> bool:
        return self._reranker is not None and self._reranker.model.uses_images

    def _validate(self, request: ImageRequest) -> ValidRequest[ImageRequest]:
        return ValidRequest(
            request=request,
            query=validate_image_request(request),
            # The images that the request names are not an answer to it.
            excluded=frozenset(filter(None, [*named_assets(request), request.crop_of])),
            visual_weight=request.visual_weight,
            diversity=request.diversity,
            group_duplicates=request.group_duplicates,
        )

    def _encoders(self) -> Mapping[Level, EncoderIdentity]:
        identity = self._image_encoder.identity
        encoders: dict[Level, EncoderIdentity] = {"asset": identity, "region": identity}
        if self._passage_encoder is not None:
            encoders["passage"] = self._passage_encoder.identity
        return encoders

    async def _load_context(
        self, connection: Connection, request: ImageRequest, scope: SearchScope
    ) -> ExampleVectors:
        by_asset = await load_example_vectors(connection, request, scope)
        mean = None
        if request.unlike and request.visual_weight != 0 and "asset" in scope.spaces:
            space = scope.spaces["asset"].space
            sample = await vector_sample(connection, space, scope, self._caches)
            mean = sample.vectors.mean(axis=0) if len(sample.vectors) else None
        return ExampleVectors(by_asset, mean)

    async def _plan(
        self, valid: ValidRequest[ImageRequest], scoped: ScopeStage[ExampleVectors]
    ) -> Sequence[Retriever]:
        request, examples = valid.request, scoped.context
        encoded = await encode_query(
            request, valid.query, self._image_encoder, self._passage_encoder, examples.by_asset
        )
        planner = QueryPlanner(
            self._database,
            scoped.scope,
            self._caches,
            reliability=scoped.reliability,
            mean=examples.mean,
            shared_encoder=self._measures_reliability,
        )
        return planner.plan(encoded, request.visual_weight)

    async def _rerank_candidates(
        self, connection: Connection, hits: Sequence[FusedHit]
    ) -> list[RerankCandidate]:
        """Return each asset with its caption and the matched passage."""
        ids = [str(hit.key) for hit in hits]
        records = await assets.find(connection, ids)
        passages = await load_passages(connection, [hit.passage_id for hit in hits])
        thumbnails = await assets.thumbnails(connection, ids) if self._uses_images else {}
        candidates: list[RerankCandidate] = []
        for hit, id_ in zip(hits, ids, strict=True):
            caption = records[id_].caption if id_ in records else None
            passage = passages.get(hit.passage_id) if hit.passage_id is not None else None
            texts = dict.fromkeys([caption or "", passage.text if passage else ""])
            text = "\n".join(each for each in texts if each)
            candidates.append(RerankCandidate(hit.key, text, thumbnails.get(id_)))
        return candidates

    async def _hydrate(
        self, connection: Connection, query: str, page: DiversifiedHits
    ) -> dict[Key, ImageHit]:
        records = await assets.find(connection, [str(hit.key) for hit in page.hits])
        terms = analyze_query(query).terms
        passages = await load_passages(connection, [hit.passage_id for hit in page.hits], terms)
        regions = await load_regions(connection, [hit.region_id for hit in page.hits])
        return {
            hit.key: ImageHit(
                asset=records[str(hit.key)],
                score=hit.score,
                retrievers=hit.retrievers,
                region=None if hit.region_id is None else regions.get(hit.region_id),
                passage=None if hit.passage_id is None else passages.get(hit.passage_id),
                duplicates=page.duplicates.get(str(hit.key), ()),
            )
            for hit in page.hits
            if hit.key in records
        }
