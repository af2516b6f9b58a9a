"""The stages that both searches share.

validate -> scope -> encode and plan -> retrieve (parallel) -> fuse -> rerank -> arrange and
hydrate -> log. Without anything to compare with: validate -> scope -> list -> hydrate -> log.
`ImageSearch` and `PassageSearch` configure the stages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Generic, TypeVar

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import encoder_reliability
from sightline.storage.records.encoder_reliability import RELIABLE, EncoderReliability
from sightline.storage.retrieval.filters.empty_selection import explain_empty_selection
from sightline.storage.retrieval.filters.filter_columns import FilterSchema
from sightline.storage.retrieval.filters.listing import MAX_LISTED, list_selected
from sightline.storage.retrieval.filters.search_scope import SearchScope, resolve_scope
from sightline.storage.retrieval.ranking.duplicate_groups import list_near_duplicates
from sightline.storage.retrieval.ranking.fusion import FusedHit, fuse_ranks, fuse_scores
from sightline.storage.retrieval.ranking.mmr import diversify
from sightline.storage.retrieval.ranking.reranker import RerankCandidate, RerankStage
from sightline.storage.retrieval.request_validation import (
    Request,
    decode_cursor,
    encode_cursor,
    is_listing,
    loggable_arguments,
    request_digest,
    validate_request,
)
from sightline.storage.retrieval.retrieval_log import LoggedSearch, RetrievalLog
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import (
    MAX_RESULTS,
    ImageHit,
    ImageRequest,
    Key,
    PassageHit,
    ResultLevel,
    Retriever,
    RetrieverReport,
    RetrieverResult,
    SearchReport,
    SearchResults,
)
from sightline.storage.retrieval.stage_runner import StageTimer, gather_or_cancel
from sightline.storage.text.phrases import remove_quotes
from sightline.storage.text.query_analysis import QueryTerm
from sightline.storage.tracing import span
from sightline.storage.types import Level

RequestT = TypeVar("RequestT", bound=Request)
HitT = TypeVar("HitT", bound=ImageHit | PassageHit)

_RELIABILITY_TTL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class FusionStage:
    """Result of the retrieve and fuse stages.

    ``terms`` are those that were searched in text. ``notes_if_empty`` are for a search without any
    hit.
    """

    hits: Sequence[FusedHit]
    reports: Mapping[str, RetrieverReport]
    notes: tuple[str, ...]
    terms: tuple[QueryTerm, ...]
    notes_if_empty: tuple[str, ...]


@dataclass(eq=False, repr=False)
class SearchPipeline(ABC, Generic[RequestT, HitT]):
    """Runs the stages of a search; create one for each process.

    ``signing_key`` signs cursors. Both searches may share ``caches`` and ``retrieval_log``.
    """

    level: ClassVar[ResultLevel]
    schema: ClassVar[FilterSchema]

    database: Database
    _: KW_ONLY
    signing_key: bytes
    reranker: RerankStage | None = None
    caches: SearchCaches = field(default_factory=SearchCaches)
    retrieval_log: RetrievalLog | None = None

    async def search(self, request: RequestT) -> SearchResults[HitT]:
        """Run a search.

        Raises InvalidArgumentError (or UnknownNameError) for an invalid request,
        SpaceMismatchError, ModelError and StorageError.
        """
        timer = StageTimer()
        query = validate_request(request)
        visual_weight: float | None = None
        excluded: set[str | None] = set()
        if isinstance(request, ImageRequest):
            visual_weight = request.visual_weight
            # The images that the request names are not an answer to it.
            excluded = {*request.named_assets, request.crop_of}
        digest = request_digest(request)
        offset = decode_cursor(self.signing_key, request.cursor, digest) if request.cursor else 0
        if is_listing(request, query):
            return await self._list(request, offset, digest, timer)
        with timer.stage("scope"):
            scope, reliability = await self._resolve(request)
        with timer.stage("encode"):
            retrievers = await self._plan(request, query, scope, reliability)
        fused = await retrieve_and_fuse(retrievers, visual_weight, timer)
        candidates = [hit for hit in fused.hits if hit.key not in excluded]
        with timer.stage("rerank") if self.reranker else nullcontext():
            ranked, reranked, problems = await self._rerank(query, candidates)
        end = offset + request.limit
        with timer.stage("hydrate"):
            async with self.database.connection(autocommit=True) as connection:
                if isinstance(request, ImageRequest):
                    ranked = await diversify(
                        connection, request, scope, ranked[:MAX_RESULTS], reranked
                    )
                page = await self._with_duplicates(connection, scope, ranked[offset:end])
                hits = await self._hydrate(connection, page, fused.terms)
                if not fused.hits:
                    explained = await explain_empty_selection(
                        connection, scope, self.level, self.schema
                    )
                    problems += explained or fused.notes_if_empty
        has_more = end < min(len(ranked), MAX_RESULTS)
        report = SearchReport(
            retrievers=fused.reports,
            timings_ms={**timer.stages, "total": timer.total()},
            next_cursor=encode_cursor(self.signing_key, end, digest) if has_more else None,
            notes=(
                *scope.notes,
                *fused.notes,
                *problems,
                *_notes_on_weak_hits(ranked),
                *self._notes_on_encoder(query, visual_weight, scope, reliability),
            ),
            reranked=reranked,
            fused_keys=tuple(
                hit.key for hit in fused.hits[:MAX_RESULTS] if hit.key not in excluded
            ),
        )
        await self._log(request, query, report, hits)
        return SearchResults(tuple(hits.values()), report)

    async def _list(
        self, request: RequestT, offset: int, digest: bytes, timer: StageTimer
    ) -> SearchResults[HitT]:
        """Return a page of what the selection matches, whichever encoder made its vectors."""
        end = offset + request.limit
        async with self.database.connection(autocommit=True) as connection:
            with timer.stage("scope"):
                scope = await resolve_scope(
                    connection, request.selection, {}, self.schema, self.caches
                )
            with timer.stage("list"):
                keys, total = await list_selected(
                    connection, scope, self.level, offset=offset, limit=request.limit
                )
            with timer.stage("hydrate"):
                page = [FusedHit(key, 0.0, {}) for key in keys]
                page = await self._with_duplicates(connection, scope, page)
                hits = await self._hydrate(connection, page)
            notes = scope.notes
            if not total:
                notes += await explain_empty_selection(connection, scope, self.level, self.schema)
        if end >= MAX_LISTED < total:
            notes += (f"A listing ends after {MAX_LISTED:,}. Narrow the selection to see others.",)
        report = SearchReport(
            retrievers={},
            timings_ms={**timer.stages, "total": timer.total()},
            next_cursor=(
                encode_cursor(self.signing_key, end, digest)
                if end < min(total, MAX_LISTED)
                else None
            ),
            notes=notes,
            total=total,
        )
        await self._log(request, "", report, hits)
        return SearchResults(tuple(hits.values()), report)

    async def _with_duplicates(
        self, connection: Connection, scope: SearchScope, hits: Sequence[FusedHit]
    ) -> list[FusedHit]:
        """Return the hits with their near-duplicates in the scope; passages have none."""
        if self.level == "passage" or not hits:
            return [*hits]
        found = await list_near_duplicates(connection, scope, [str(hit.key) for hit in hits])
        return [
            hit._replace(
                duplicates=tuple(dict.fromkeys((*hit.duplicates, *found.get(str(hit.key), ()))))
            )
            for hit in hits
        ]

    async def _resolve(self, request: RequestT) -> tuple[SearchScope, EncoderReliability]:
        """Return the scope, and the reliability of the encoder of images for text queries.

        It is also that of a passage encoder that is the encoder of images.
        """
        encoders = self._encoders()
        async with self.database.connection(autocommit=True) as connection:
            scope = await resolve_scope(
                connection, request.selection, encoders, self.schema, self.caches
            )
            encoder = encoders.get("asset", encoders.get("passage"))
            if encoder is None:
                return scope, RELIABLE
            ids = scope.collection_ids

            async def load() -> tuple[EncoderReliability, float]:
                found = await encoder_reliability.load(connection, encoder, ids)
                # Collections that are still being ingested have no measurement yet.
                is_complete = {id_ for id_, _ in found.by_kind} >= set(ids)
                return found, _RELIABILITY_TTL_SECONDS if is_complete else 0.0

            key = (encoder, tuple(ids))
            return scope, await self.caches.encoder_reliability.get(key, load)

    def _notes_on_encoder(
        self,
        query: str,
        visual_weight: float | None,
        scope: SearchScope,
        reliability: EncoderReliability,
    ) -> tuple[str, ...]:
        """Say which pictures the encoder of a text query does not know."""
        encoder = self._encoders().get("asset")
        if encoder is None or not query or visual_weight == 0 or "asset" not in scope.spaces:
            return ()
        note = encoder_reliability.unknown_pictures(reliability, encoder, scope.collections)
        return () if note is None else (note,)

    async def _rerank(
        self, query: str, hits: Sequence[FusedHit]
    ) -> tuple[Sequence[FusedHit], bool, tuple[str, ...]]:
        """Return the hits, whether they are reranked, and why not.

        Holds no connection while the model runs.
        """
        if self.reranker is None or not query or not hits:
            return hits, False, ()
        head = hits[: self.reranker.max_candidates]
        async with self.database.connection(autocommit=True) as connection:
            candidates = await self._rerank_candidates(connection, head)
        order, problem = await self.reranker.order(remove_quotes(query), candidates)
        reordered = [*(head[index] for index in order), *hits[len(head) :]]
        return reordered, problem is None, () if problem is None else (problem,)

    async def _log(
        self, request: RequestT, query: str, report: SearchReport, hits: Mapping[Key, HitT]
    ) -> None:
        """Insert a row of ``retrieval_log``; a failure does not fail the search."""
        log = self.retrieval_log or RetrievalLog(self.database)
        await log.write(
            LoggedSearch(
                principal=request.principal,
                tool=request.tool,
                collections=request.selection.collections,
                query=query,
                arguments=loggable_arguments(request),
                timings_ms=report.timings_ms,
                results=[
                    {self.level: key, "score": round(hit.score, 6)}
                    | ({"weak": True} if hit.weak else {})
                    for key, hit in hits.items()
                ],
            )
        )

    @abstractmethod
    def _encoders(self) -> Mapping[Level, EncoderIdentity]:
        """Return the encoder of each level that the search uses."""

    @abstractmethod
    async def _plan(
        self, request: RequestT, query: str, scope: SearchScope, reliability: EncoderReliability
    ) -> Sequence[Retriever]:
        """Encode the query and return the retrievers to run."""

    @abstractmethod
    async def _rerank_candidates(
        self, connection: Connection, hits: Sequence[FusedHit]
    ) -> list[RerankCandidate]:
        """Load the texts (and thumbnails) that the reranker scores."""

    @abstractmethod
    async def _hydrate(
        self, connection: Connection, hits: Sequence[FusedHit], terms: Sequence[QueryTerm] = ()
    ) -> dict[Key, HitT]:
        """Return the hits by key, in order, without those deleted meanwhile.

        Text is shown around the ``terms``.
        """


def _notes_on_weak_hits(hits: Sequence[FusedHit]) -> tuple[str, ...]:
    if not hits or not all(hit.weak for hit in hits):
        return ()
    return ("No hit stands out from chance: probably not found. Look at a hit before you use it.",)


async def retrieve_and_fuse(
    retrievers: Sequence[Retriever], visual_weight: float | None, timer: StageTimer
) -> FusionStage:
    """Run the retrievers in parallel and fuse; the first failure cancels the others."""

    async def timed(retriever: Retriever) -> RetrieverResult:
        with timer.stage(retriever.name):
            return await retriever.retrieve()

    modalities = {retriever.name: retriever.modality for retriever in retrievers}
    timed_results = await gather_or_cancel([timed(retriever) for retriever in retrievers])
    results = dict(zip(modalities, timed_results, strict=True))
    with span("fuse"):
        if visual_weight is None:
            hits, weights = fuse_ranks(results)
        else:
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
    terms = tuple(term for result in results.values() for term in result.terms)
    if_empty = tuple(each.note_if_empty for each in results.values() if each.note_if_empty)
    return FusionStage(hits, reports, tuple(notes), terms, if_empty)
