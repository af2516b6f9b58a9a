"""Search for passages: captions, documents, OCR text, subtitles, file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

from sightline.storage.db.queries import Connection
from sightline.storage.interfaces import EncoderIdentity, TextEncoder
from sightline.storage.records import assets
from sightline.storage.records.encoder_reliability import EncoderReliability
from sightline.storage.retrieval.filters.filter_columns import PASSAGES
from sightline.storage.retrieval.filters.search_scope import SearchScope, require_phrases
from sightline.storage.retrieval.hydrate.hydration import load_passages
from sightline.storage.retrieval.ranking.fusion import FusedHit
from sightline.storage.retrieval.ranking.reranker import RerankCandidate
from sightline.storage.retrieval.retrievers.lexical_retriever import LexicalRetriever
from sightline.storage.retrieval.retrievers.vector_retriever import VectorRetriever
from sightline.storage.retrieval.search_pipeline import SearchPipeline
from sightline.storage.retrieval.search_types import Key, PassageHit, PassageRequest, Retriever
from sightline.storage.text.phrases import remove_quotes
from sightline.storage.text.query_analysis import QueryTerm
from sightline.storage.types import Level


@dataclass(eq=False, repr=False)
class PassageSearch(SearchPipeline[PassageRequest, PassageHit]):
    """Finds passages by words and, with a text encoder, by meaning.

    ``captions_only`` says that the encoder is one of images, which represents captions but not
    prose: other passages are then found by words only.
    """

    level = "passage"
    schema = PASSAGES

    encoder: TextEncoder | None
    _: KW_ONLY
    captions_only: bool = False

    def _encoders(self) -> Mapping[Level, EncoderIdentity]:
        return {} if self.encoder is None else {"passage": self.encoder.identity}

    async def _plan(
        self,
        request: PassageRequest,
        query: str,
        scope: SearchScope,
        reliability: EncoderReliability,
    ) -> Sequence[Retriever]:
        scope = require_phrases(scope, query)
        lexical = LexicalRetriever(
            database=self.database, scope=scope, caches=self.caches, query=query, level="passage"
        )
        passages = scope.spaces.get("passage")
        kinds = request.selection.kinds
        has_captions = kinds is None or "caption" in kinds
        if self.encoder is None or passages is None or (self.captions_only and not has_captions):
            return [lexical]
        (vector,) = await self.encoder.encode_texts([remove_quotes(query)])
        if not vector.any():  # the encoder does not know the words
            return [lexical]
        by_meaning = VectorRetriever(
            name="text_to_passage",
            database=self.database,
            scope=replace(scope, kinds=("caption",)) if self.captions_only else scope,
            space=passages.space,
            caches=self.caches,
            vector=vector,
            level="passage",
            reliability=reliability,
        )
        return [lexical, by_meaning]

    async def _rerank_candidates(
        self, connection: Connection, hits: Sequence[FusedHit]
    ) -> list[RerankCandidate]:
        passages = await load_passages(connection, [int(hit.key) for hit in hits])
        return [
            RerankCandidate(hit.key, passages[int(hit.key)].text if hit.key in passages else "")
            for hit in hits
        ]

    async def _hydrate(
        self, connection: Connection, hits: Sequence[FusedHit], terms: Sequence[QueryTerm] = ()
    ) -> dict[Key, PassageHit]:
        passages = await load_passages(connection, [int(hit.key) for hit in hits], terms)
        asset_ids = [passage.asset_id for passage in passages.values() if passage.asset_id]
        records = await assets.find(connection, asset_ids)
        return {
            hit.key: PassageHit(
                passage=passage,
                score=hit.score,
                retrievers=hit.retrievers,
                weak=hit.weak,
                asset=records.get(passage.asset_id or ""),
            )
            for hit in hits
            if (passage := passages.get(int(hit.key)))
        }
