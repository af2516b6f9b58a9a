"""Search for pictures: by words, by a picture, by examples, or by any mix."""

from __future__ import annotations

from contextlib import nullcontext

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError
from sightline.storage.interfaces import EncoderIdentity, ImageEncoder, TextEncoder
from sightline.storage.records import assets
from sightline.storage.types import Level
from sightline.storage.retrieval import cursors, request_validation, search_log
from sightline.storage.retrieval.filters.filter_schema import ASSETS
from sightline.storage.retrieval.hydrate import hydration
from sightline.storage.retrieval.query.encoded_query import complete, encode
from sightline.storage.retrieval.query.query_planner import AskBuilder
from sightline.storage.retrieval.filters.search_scope import Scope, resolve
from sightline.storage.retrieval.ranking.diversify import Arranged, arrange
from sightline.storage.retrieval.ranking.fusion import FusionRetriever
from sightline.storage.retrieval.ranking.rerank_stage import SecondLook, second_look
from sightline.storage.retrieval.ranking.reranker import Reranker
from sightline.storage.retrieval.search_caches import Memory
from sightline.storage.retrieval.search_types import (
    ImageHit,
    ImageRequest,
    ImageResults,
    SearchReport,
)
from sightline.storage.retrieval.stopwatch import Stopwatch
from sightline.storage.text.text_query import analyse_query


class ImageSearch:
    """Finds pictures by what they look like and by the words on and around them.

    One for a process; ``memory`` may be shared with the other search. ``passages`` encodes words
    for captions and other passages; None leaves those to the words themselves. ``signing_key``
    seals cursors.
    """

    def __init__(
        self,
        database: Database,
        images: ImageEncoder,
        passages: TextEncoder | None,
        *,
        signing_key: bytes,
        reranker: Reranker | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._database = database
        self._images = images
        self._passages = passages
        self._signing_key = signing_key
        self._reranker = reranker
        self._memory = memory or Memory()

    async def search(self, request: ImageRequest) -> ImageResults:
        """Answer a request.

        Raises InvalidArgumentError (UnknownNameError among them) for what is wrong with it,
        SpaceMismatchError, ModelError and StorageError.
        """
        watch = Stopwatch()
        query = _checked(request)
        digest = request_validation.digest(request)
        offset = cursors.unseal(self._signing_key, request.cursor, digest) if request.cursor else 0
        with watch.stage("scope"):
            scope, trust = await self._scope(request)
        with watch.stage("encode"):
            encoded = await encode(request, query, self._images, self._passages)
            question = await complete(self._database, request, query, scope, encoded)
            builder = AskBuilder(
                self._database,
                scope,
                self._memory,
                trust=trust,
                one_encoder=self._one_encoder,
            )
            asks = await builder.build(question, request.visual_weight)
        fusion = await FusionRetriever(asks, visual_weight=request.visual_weight).fuse()
        watch.stages.update(fusion.timings_ms)
        with watch.stage("rerank") if self._reranker else nullcontext():
            judged = await second_look(
                self._database,
                [hit for hit in fusion.hits if hit.key not in question.named],
                query=query,
                reranker=self._reranker,
                target="asset",
            )
        with watch.stage("finish"):
            arranged, hits = await self._finish(request, scope, judged, offset)
        end = offset + request.limit
        more = end < len(arranged.hits)
        report = SearchReport(
            branches=fusion.reports,
            timings_ms={**watch.stages, "total": watch.total()},
            next_cursor=cursors.seal(self._signing_key, end, digest) if more else None,
            notes=(*scope.notes, *fusion.notes, *judged.notes),
            reranked=judged.reranked,
            fused=tuple(
                hit.key
                for hit in fusion.hits[: request_validation.DEPTH]
                if hit.key not in question.named
            ),
        )
        await self._log(request, query, hits, report)
        return ImageResults(tuple(hits), report)

    @property
    def _one_encoder(self) -> bool:
        return self._passages is not None and self._passages.identity == self._images.identity

    async def _scope(self, request: ImageRequest) -> tuple[Scope, dict[int, float]]:
        """Where to look, and how far the encoder's words can be trusted there."""
        identity = self._images.identity
        identities: dict[Level, EncoderIdentity] = {"asset": identity, "region": identity}
        if self._passages is not None:
            identities["passage"] = self._passages.identity
        async with self._database.connection(autocommit=True) as connection:
            scope = await resolve(
                connection, request.selection, identities, ASSETS, self._memory.catalog
            )
            trust = await self._memory.trust.of(connection, scope) if self._one_encoder else {}
        return scope, trust

    async def _finish(
        self, request: ImageRequest, scope: Scope, judged: SecondLook, offset: int
    ) -> tuple[Arranged, list[ImageHit]]:
        scoped = scope.spaces.get("asset")
        async with self._database.connection(autocommit=True) as connection:
            arranged = await arrange(
                connection,
                judged.hits,
                space=None if scoped is None else scoped.space,
                reranked=judged.reranked,
                group_duplicates=request.group_duplicates,
                diversity=request.diversity,
            )
            page = arranged.hits[offset : offset + request.limit]
            pictures = await assets.find(connection, [str(hit.key) for hit in page])
            texts = await hydration.passages(
                connection,
                [hit.passage_id for hit in page if hit.passage_id is not None],
                analyse_query(request.query).terms,
            )
            parts = await hydration.regions(
                connection, [hit.region_id for hit in page if hit.region_id is not None]
            )
        hits = [
            ImageHit(
                asset=pictures[str(hit.key)],
                score=hit.score,
                branches=hit.branches,
                region=None if hit.region_id is None else parts.get(hit.region_id),
                passage=None if hit.passage_id is None else texts.get(hit.passage_id),
                duplicates=arranged.duplicates.get(str(hit.key), ()),
            )
            for hit in page
            if str(hit.key) in pictures  # it may have been deleted a moment ago
        ]
        return arranged, hits

    async def _log(
        self, request: ImageRequest, query: str, hits: list[ImageHit], report: SearchReport
    ) -> None:
        await search_log.write(
            self._database,
            search_log.LogEntry(
                principal=request.principal,
                tool=request.tool,
                collection=request_validation.collection_names(request.selection),
                query=query or None,
                arguments=request_validation.loggable(request),
                timings_ms=report.timings_ms,
                total_ms=report.timings_ms["total"],
                results=[{"asset": hit.asset.id, "score": round(hit.score, 6)} for hit in hits],
            ),
        )


def _checked(request: ImageRequest) -> str:
    """The query, once the request is found to make sense."""
    query = request_validation.checked_query(request.query)
    request_validation.check_limit(request.limit)
    request_validation.check_share("visual_weight", request.visual_weight)
    request_validation.check_share("diversity", request.diversity)
    for name, given in (("like", request.like), ("unlike", request.unlike)):
        if len(given) > request_validation.MAX_EXAMPLES:
            raise InvalidArgumentError(
                f"{name} has {len(given)} examples; give at most {request_validation.MAX_EXAMPLES}"
            )
    if not query and request.visual_weight == 0:
        raise InvalidArgumentError("visual_weight is 0, which leaves the words alone; give a query")
    if not query and request.picture is None and not request.like:
        raise request_validation.nothing_asked(
            "words, a picture, or pictures that the results should be like"
        )
    return query
