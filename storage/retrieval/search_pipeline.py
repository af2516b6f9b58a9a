"""The stages that both searches share.

validate -> scope -> encode and plan -> retrieve (parallel) -> fuse -> rerank -> diversify and
hydrate -> log. `ImageSearch` and `PassageSearch` configure the stages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, TypeVar

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.retrieval import search_log
from sightline.storage.retrieval.filters.filter_schema import FilterSchema
from sightline.storage.retrieval.filters.search_scope import SearchScope, resolve_scope
from sightline.storage.retrieval.ranking.fusion import FusedHit, fuse_ranks, fuse_scores
from sightline.storage.retrieval.ranking.mmr import DiversifiedHits, diversify_assets
from sightline.storage.retrieval.ranking.reranker import RerankCandidate, RerankStage
from sightline.storage.retrieval.request_validation import (
    MAX_RESULTS,
    Request,
    decode_cursor,
    encode_cursor,
    request_digest,
)
from sightline.storage.retrieval.retrievers.base_retriever import (
    Key,
    ResultLevel,
    Retriever,
    RetrieverResult,
)
from sightline.storage.retrieval.retrievers.encoder_reliability import encoder_reliability
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import (
    ImageHit,
    PassageHit,
    RetrieverReport,
    SearchReport,
    SearchResults,
)
from sightline.storage.retrieval.stage_runner import StageTimer, gather_or_cancel
from sightline.storage.text.analyzer import remove_quotes
from sightline.storage.types import Level

RequestT = TypeVar("RequestT", bound=Request)
HitT = TypeVar("HitT", bound=ImageHit | PassageHit)
ContextT = TypeVar("ContextT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidRequest(Generic[RequestT]):
    """Result of the validate stage.

    ``excluded`` are asset ids that must not be in the result.
    """

    request: RequestT
    query: str
    excluded: frozenset[str] = frozenset()
    visual_weight: float | None = None
    diversity: float = 0.0
    group_duplicates: bool = False


@dataclass(frozen=True, slots=True)
class ScopeStage(Generic[ContextT]):
    """Result of the scope stage; ``context`` is input of the encode stage."""

    scope: SearchScope
    reliability: Mapping[int, float]
    context: ContextT


@dataclass(frozen=True, slots=True)
class FusionStage:
    """Result of the retrieve and fuse stages."""

    hits: Sequence[FusedHit]
    reports: Mapping[str, RetrieverReport]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RerankResult:
    """Result of the rerank stage; ``notes`` states why the order did not change."""

    hits: Sequence[FusedHit]
    reranked: bool = False
    notes: tuple[str, ...] = ()


class SearchPipeline(ABC, Generic[RequestT, HitT, ContextT]):
    """Runs the stages of a search; create one for each process.

    ``signing_key`` signs cursors. Both searches may share ``caches``.
    """

    level: ClassVar[ResultLevel]
    schema: ClassVar[FilterSchema]

    def __init__(
        self,
        database: Database,
        *,
        signing_key: bytes,
        reranker: RerankStage | None = None,
        caches: SearchCaches | None = None,
    ) -> None:
        self._database = database
        self._signing_key = signing_key
        self._reranker = reranker
        self._caches = caches or SearchCaches()

    async def search(self, request: RequestT) -> SearchResults[HitT]:
        """Run a search.

        Raises InvalidArgumentError (or UnknownNameError) for an invalid request,
        SpaceMismatchError, ModelError and StorageError.
        """
        timer = StageTimer()
        valid = self._validate(request)
        digest = request_digest(request)
        offset = decode_cursor(self._signing_key, request.cursor, digest) if request.cursor else 0
        with timer.stage("scope"):
            scoped = await self._resolve(request)
        with timer.stage("encode"):
            retrievers = await self._plan(valid, scoped)
        fused = await retrieve_and_fuse(retrievers, valid.visual_weight, timer)
        candidates = [hit for hit in fused.hits if hit.key not in valid.excluded]
        with timer.stage("rerank") if self._reranker else nullcontext():
            reranked = await self._rerank(valid.query, candidates)
        end = offset + request.limit
        with timer.stage("hydrate"):
            async with self._database.connection(autocommit=True) as connection:
                space = scoped.scope.spaces.get("asset")
                diversified = await diversify_assets(
                    connection,
                    reranked.hits[:MAX_RESULTS],
                    space=None if space is None else space.space,
                    reranked=reranked.reranked,
                    group_duplicates=valid.group_duplicates,
                    diversity=valid.diversity,
                )
                page = replace(diversified, hits=diversified.hits[offset:end])
                records = await self._hydrate(connection, valid.query, page)
        shown = [hit for hit in page.hits if hit.key in records]  # others were deleted meanwhile
        has_more = end < len(diversified.hits)
        report = SearchReport(
            retrievers=fused.reports,
            timings_ms={**timer.stages, "total": timer.total()},
            next_cursor=encode_cursor(self._signing_key, end, digest) if has_more else None,
            notes=(*scoped.scope.notes, *fused.notes, *reranked.notes),
            reranked=reranked.reranked,
            fused_keys=tuple(
                hit.key for hit in fused.hits[:MAX_RESULTS] if hit.key not in valid.excluded
            ),
        )
        await search_log.write(
            self._database,
            request,
            report.timings_ms,
            [{self.level: hit.key, "score": round(hit.score, 6)} for hit in shown],
        )
        return SearchResults(tuple(records[hit.key] for hit in shown), report)

    async def _resolve(self, request: RequestT) -> ScopeStage[ContextT]:
        """Resolve the scope and load what encoding needs, with one connection."""
        async with self._database.connection(autocommit=True) as connection:
            scope = await resolve_scope(
                connection, request.selection, self._encoders(), self.schema, self._caches
            )
            reliability: Mapping[int, float] = {}
            if self._measures_reliability:
                reliability = await encoder_reliability(connection, scope, self._caches)
            context = await self._load_context(connection, request, scope)
        return ScopeStage(scope, reliability, context)

    async def _rerank(self, query: str, hits: Sequence[FusedHit]) -> RerankResult:
        """Rerank the first hits; hold no connection while the model runs."""
        if self._reranker is None or not query or not hits:
            return RerankResult(hits)
        head = hits[: self._reranker.max_candidates]
        async with self._database.connection(autocommit=True) as connection:
            candidates = await self._rerank_candidates(connection, head)
        order, problem = await self._reranker.order(remove_quotes(query), candidates)
        reordered = [*(head[index] for index in order), *hits[len(head) :]]
        return RerankResult(reordered, problem is None, () if problem is None else (problem,))

    @property
    @abstractmethod
    def _measures_reliability(self) -> bool:
        """Return whether to measure the reliability of the passage encoder."""

    @abstractmethod
    def _validate(self, request: RequestT) -> ValidRequest[RequestT]:
        """Return the valid request, or raise InvalidArgumentError."""

    @abstractmethod
    def _encoders(self) -> Mapping[Level, EncoderIdentity]:
        """Return the encoder of each level that the search uses."""

    @abstractmethod
    async def _load_context(
        self, connection: Connection, request: RequestT, scope: SearchScope
    ) -> ContextT:
        """Load what `_plan` needs from the database."""

    @abstractmethod
    async def _plan(
        self, valid: ValidRequest[RequestT], scoped: ScopeStage[ContextT]
    ) -> Sequence[Retriever]:
        """Encode the query and return the retrievers to run."""

    @abstractmethod
    async def _rerank_candidates(
        self, connection: Connection, hits: Sequence[FusedHit]
    ) -> list[RerankCandidate]:
        """Load the texts (and thumbnails) that the reranker scores."""

    @abstractmethod
    async def _hydrate(
        self, connection: Connection, query: str, page: DiversifiedHits
    ) -> dict[Key, HitT]:
        """Load the records of the page, by key."""


async def retrieve_and_fuse(
    retrievers: Sequence[Retriever], visual_weight: float | None, timer: StageTimer
) -> FusionStage:
    """Run the retrievers in parallel and fuse; the first failure cancels the others."""

    async def timed(retriever: Retriever) -> RetrieverResult:
        with timer.stage(retriever.name):
            return await retriever.retrieve()

    results = dict(
        zip(
            [retriever.name for retriever in retrievers],
            await gather_or_cancel([timed(retriever) for retriever in retrievers]),
            strict=True,
        )
    )
    if visual_weight is None:
        hits, weights = fuse_ranks(results)
    else:
        modalities = {retriever.name: retriever.modality for retriever in retrievers}
        hits, weights = fuse_scores(results, modalities, visual_weight)
    reports = {
        name: RetrieverReport(
            hits=len(result.hits),
            weight=round(weights[name], 4),
            confidence=round(result.confidence, 4),
            threshold=result.threshold,
            keys=tuple(hit.key for hit in result.hits),
        )
        for name, result in results.items()
    }
    notes = dict.fromkeys(note for result in results.values() for note in result.notes)
    return FusionStage(hits, reports, tuple(notes))
