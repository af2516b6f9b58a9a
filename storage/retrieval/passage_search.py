"""Search in text: captions, documents, what is written in pictures, subtitles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
from llama_index.core.schema import QueryBundle

from sightline.storage.db.pool import Database
from sightline.storage.interfaces import TextEncoder, Vectors
from sightline.storage.records import assets
from sightline.storage.retrieval import cursors, request_validation, search_log
from sightline.storage.retrieval.filters.filter_schema import PASSAGES
from sightline.storage.retrieval.hydrate import hydration
from sightline.storage.retrieval.query.phrase_filter import phrased
from sightline.storage.retrieval.filters.search_scope import Scope, resolve
from sightline.storage.retrieval.ranking.fusion import Ask, Fused, FusionRetriever
from sightline.storage.retrieval.ranking.rerank_stage import second_look
from sightline.storage.retrieval.ranking.reranker import Reranker
from sightline.storage.retrieval.retrievers.lexical_retriever import LexicalBranch
from sightline.storage.retrieval.retrievers.vector_retriever import VectorBranch
from sightline.storage.retrieval.search_caches import Memory
from sightline.storage.retrieval.search_types import (
    PassageHit,
    PassageRequest,
    PassageResults,
    SearchReport,
)
from sightline.storage.retrieval.stopwatch import Stopwatch
from sightline.storage.text.quoted_phrases import unquoted
from sightline.storage.text.text_query import analyse_query

_CAPTIONS = ("caption",)


class PassageSearch:
    """Finds passages by their words and, with a text encoder, by their meaning.

    One for a process; ``memory`` may be shared with the other search. ``signing_key`` seals
    cursors. ``captions_only`` says that the encoder is one of pictures, which knows captions and no
    prose: other passages are then found by their words alone.
    """

    def __init__(
        self,
        database: Database,
        encoder: TextEncoder | None,
        *,
        signing_key: bytes,
        captions_only: bool = False,
        reranker: Reranker | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._database = database
        self._encoder = encoder
        self._captions_only = captions_only
        self._signing_key = signing_key
        self._reranker = reranker
        self._memory = memory or Memory()

    async def search(self, request: PassageRequest) -> PassageResults:
        """Answer a request.

        Raises InvalidArgumentError (UnknownNameError among them) for what is wrong with it,
        SpaceMismatchError, ModelError and StorageError.
        """
        watch = Stopwatch()
        query = request_validation.checked_query(request.query)
        if not query:
            raise request_validation.nothing_asked("words to look for")
        request_validation.check_limit(request.limit)
        digest = request_validation.digest(request)
        offset = cursors.unseal(self._signing_key, request.cursor, digest) if request.cursor else 0
        with watch.stage("prepare"):
            scope, trust = await self._prepare(request)
            vector = await self._encode(scope, query)
        fusion = await FusionRetriever(self._asks(scope, query, vector, trust)).fuse()
        watch.stages.update(fusion.timings_ms)
        with watch.stage("rerank") if self._reranker else nullcontext():
            judged = await second_look(
                self._database,
                fusion.hits,
                query=query,
                reranker=self._reranker,
                target="passage",
            )
        with watch.stage("finish"):
            hits = await self._finish(query, judged.hits[offset : offset + request.limit])
        end = offset + request.limit
        more = end < min(len(fusion.hits), request_validation.DEPTH)
        timings = {**watch.stages, "total": watch.total()}
        report = SearchReport(
            branches=fusion.reports,
            timings_ms=timings,
            next_cursor=cursors.seal(self._signing_key, end, digest) if more else None,
            notes=(*scope.notes, *fusion.notes, *judged.notes),
            reranked=judged.reranked,
            fused=tuple(hit.key for hit in fusion.hits[: request_validation.DEPTH]),
        )
        await search_log.write(
            self._database,
            search_log.LogEntry(
                principal=request.principal,
                tool=request.tool,
                collection=request_validation.collection_names(request.selection),
                query=query,
                arguments=request_validation.loggable(request),
                timings_ms=timings,
                total_ms=timings["total"],
                results=[{"passage": hit.passage.id, "score": round(hit.score, 6)} for hit in hits],
            ),
        )
        return PassageResults(tuple(hits), report)

    async def _prepare(self, request: PassageRequest) -> tuple[Scope, dict[int, float]]:
        encoder = self._encoder
        async with self._database.connection(autocommit=True) as connection:
            scope = await resolve(
                connection,
                request.selection,
                {} if encoder is None else {"passage": encoder.identity},
                PASSAGES,
                self._memory.catalog,
            )
            # Measured only where the encoder is one of pictures too, which is no judge of text.
            trust = {} if encoder is None else await self._memory.trust.of(connection, scope)
        return scope, trust

    async def _encode(self, scope: Scope, query: str) -> Vectors | None:
        if self._encoder is None or "passage" not in scope.spaces:
            return None
        if self._captions_only and scope.kinds is not None and "caption" not in scope.kinds:
            return None
        vector: Vectors = (await self._encoder.encode_texts([unquoted(query)]))[0]
        return vector

    def _asks(
        self, scope: Scope, query: str, vector: Vectors | None, trust: Mapping[int, float]
    ) -> Sequence[Ask]:
        scope = phrased(scope, query)
        asks = [
            Ask(
                LexicalBranch(
                    "words",
                    self._database,
                    scope,
                    self._memory.statistics,
                    target="passage",
                    depth=request_validation.DEPTH,
                ),
                QueryBundle(query),
            )
        ]
        if vector is not None and "passage" in scope.spaces:
            if self._captions_only:
                scope = replace(scope, kinds=_CAPTIONS)
            branch = VectorBranch(
                "text_to_passage",
                "words",
                self._database,
                scope,
                scope.spaces["passage"].space,
                self._memory,
                target="passage",
                depth=request_validation.DEPTH,
                trust=trust,
            )
            asks.append(Ask(branch, QueryBundle(query, embedding=np.asarray(vector).tolist())))
        return asks

    async def _finish(self, query: str, page: Sequence[Fused]) -> list[PassageHit]:
        async with self._database.connection(autocommit=True) as connection:
            found = await hydration.passages(
                connection, [int(hit.key) for hit in page], analyse_query(query).terms
            )
            pictures = await assets.find(
                connection, [p.asset_id for p in found.values() if p.asset_id is not None]
            )
        return [
            PassageHit(
                passage=found[int(hit.key)],
                score=hit.score,
                branches=hit.branches,
                asset=pictures.get(found[int(hit.key)].asset_id or ""),
            )
            for hit in page
            if int(hit.key) in found
        ]
