"""Search for passages: captions, documents, OCR text, subtitles, file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.interfaces import EncoderIdentity, TextEncoder
from sightline.storage.records import assets
from sightline.storage.retrieval.filters.filter_schema import PASSAGES
from sightline.storage.retrieval.filters.search_scope import SearchScope, require_phrases
from sightline.storage.retrieval.hydrate.hydration import load_passages
from sightline.storage.retrieval.ranking.fusion import FusedHit
from sightline.storage.retrieval.ranking.mmr import DiversifiedHits
from sightline.storage.retrieval.ranking.reranker import RerankCandidate, RerankStage
from sightline.storage.retrieval.request_validation import MAX_RESULTS, validate_passage_request
from sightline.storage.retrieval.retrievers.base_retriever import Key, Retriever
from sightline.storage.retrieval.retrievers.lexical_retriever import LexicalRetriever
from sightline.storage.retrieval.retrievers.vector_retriever import VectorRetriever
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_pipeline import ScopeStage, SearchPipeline, ValidRequest
from sightline.storage.retrieval.search_types import PassageHit, PassageRequest
from sightline.storage.text.analyzer import analyze_query, remove_quotes
from sightline.storage.types import Level


class PassageSearch(SearchPipeline[PassageRequest, PassageHit, None]):
    """Finds passages by words and, with a text encoder, by meaning.

    ``captions_only`` says that the encoder is one of images, which represents captions but not
    prose: other passages are then found by words only.
    """

    level = "passage"
    schema = PASSAGES

    def __init__(
        self,
        database: Database,
        encoder: TextEncoder | None,
        *,
        signing_key: bytes,
        captions_only: bool = False,
        reranker: RerankStage | None = None,
        caches: SearchCaches | None = None,
    ) -> None:
        super().__init__(database, signing_key=signing_key, reranker=reranker, caches=caches)
        self._encoder = encoder
        self._captions_only = captions_only

    @property
    def _measures_reliability(self) -> bool:
        return self._encoder is not None

    def _validate(self, request: PassageRequest) -> ValidRequest[PassageRequest]:
        return ValidRequest(request=request, query=validate_passage_request(request))

    def _encoders(self) -> Mapping[Level, EncoderIdentity]:
        return {} if self._encoder is None else {"passage": self._encoder.identity}

    async def _load_context(
        self,
        connection: Connection,  # noqa: ARG002
        request: PassageRequest,  # noqa: ARG002
        scope: SearchScope,  # noqa: ARG002
    ) -> None:
        return None

    async def _plan(
        self, valid: ValidRequest[PassageRequest], scoped: ScopeStage[None]
    ) -> Sequence[Retriever]:
        query = valid.query
        scope = require_phrases(scoped.scope, query)
        retrievers: list[Retriever] = [
            LexicalRetriever(
                database=self._database,
                scope=scope,
                caches=self._caches,
                query=query,
                level="passage",
                limit=MAX_RESULTS,
            )
        ]
        passages = scope.spaces.get("passage")
        if self._encoder is None or passages is None or not self._has_encoded_kinds(scope):
            return retrievers
        vectors = await self._encoder.encode_texts([remove_quotes(query)])
        retrievers.append(
            VectorRetriever(
                name="text_to_passage",
                modality="text",
                database=self._database,
                scope=replace(scope, kinds=("caption",)) if self._captions_only else scope,
                space=passages.space,
                caches=self._caches,
                vector=vectors[0],
                level="passage",
                limit=MAX_RESULTS,
                reliability=scoped.reliability,
            )
        )
        return retrievers

    def _has_encoded_kinds(self, scope: SearchScope) -> bool:
        """Return whether the encoder represents any passage kind of the scope."""
        return not self._captions_only or scope.kinds is None or "caption" in scope.kinds

    async def _rerank_candidates(
        self, connection: Connection, hits: Sequence[FusedHit]
    ) -> list[RerankCandidate]:
        passages = await load_passages(connection, [int(hit.key) for hit in hits])
        return [
            RerankCandidate(hit.key, passages[int(hit.key)].text if hit.key in passages else "")
            for hit in hits
        ]

    async def _hydrate(
        self, connection: Connection, query: str, page: DiversifiedHits
    ) -> dict[Key, PassageHit]:
        terms = analyze_query(query).terms
        passages = await load_passages(connection, [int(hit.key) for hit in page.hits], terms)
        records = await assets.find(
            connection, [p.asset_id for p in passages.values() if p.asset_id is not None]
        )
        return {
            hit.key: PassageHit(
                passage=passages[int(hit.key)],
                score=hit.score,
                retrievers=hit.retrievers,
                asset=records.get(passages[int(hit.key)].asset_id or ""),
            )
            for hit in page.hits
            if hit.key in passages
        }
