"""Retrieve by words with BM25 over postings."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql
from psycopg.rows import class_row

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_values, load_sql
from sightline.storage.retrieval.filters.search_scope import SearchScope, missing_phrases_note
from sightline.storage.retrieval.retrievers.base_retriever import (
    Hit,
    Modality,
    ResultLevel,
    RetrieverResult,
    best_per_key,
)
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.text.analyzer import MAX_QUERY_TERMS, TextQuery, analyze_query, quote_term

_SQL = load_sql("retrieval")

# Passages are short and similar in length, so length counts less than for whole documents.
K1 = 0.9
B = 0.4
ADJACENCY_BONUS = 0.5
"""Score of two query words that are adjacent in query and passage, as a share of the rarer
word's weight: "red bus" matches a red bus better than a green bus beside a red van."""
MAX_LEADING_POSTINGS = 10_000
"""Postings read to find candidates, rare terms first; the other terms only rank."""
_MAX_POSTINGS = 50_000  # even if the rarest term alone has more
_MAX_COUNTED_PASSAGES = 1_000_000
_SMALL_SCOPE_PASSAGES = 5_000
_CANDIDATES = 400
_ADJACENCY_CANDIDATES = 50
_MAX_EXPANSIONS = 200
_LAST_CHARACTER = "\U0010ffff"
_STATISTICS_TTL_SECONDS = 60.0


class LeadingTerm(NamedTuple):
    """A term that finds candidates; ``concept`` is the position of the query's term."""

    term: str
    concept: int
    weight: float


class CommonTerm(NamedTuple):
    """A term that only ranks; ``share`` is the share of all passages that contain it."""

    term: str
    weight: float
    share: float


class AdjacentPair(NamedTuple):
    """A tsquery of two adjacent query words, and their concepts."""

    tsquery: str
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a query by their role."""

    leading: Sequence[LeadingTerm]
    common: Sequence[CommonTerm]
    pairs: Sequence[AdjacentPair]


@dataclass(frozen=True, slots=True)
class _RankedRow:
    passage_id: int
    asset_id: str | None
    score: float
    matched_weight: float
    query_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalRetriever:
    """Finds passages, or the assets they belong to, by the words of the query."""

    database: Database
    scope: SearchScope
    caches: SearchCaches
    query: str
    level: ResultLevel
    limit: int
    name: str = "lexical"
    modality: Modality = "text"

    async def retrieve(self) -> RetrieverResult:
        """Return the best passages or assets by BM25."""
        query = analyze_query(self.query)
        if not query:
            return RetrieverResult((), notes=("The query has no word to search for in text.",))
        notes: tuple[str, ...] = ()
        if query.truncated:
            notes = (f"Text search used only the first {MAX_QUERY_TERMS} terms of the query.",)
        async with self.database.connection(autocommit=True) as connection:
            ids = None if self.scope.all_collections else self.scope.collection_ids
            passages, mean_length = await passage_statistics(connection, ids, self.caches)
            if not passages:
                return RetrieverResult((), notes=notes)
            terms = await self._terms(connection, query, passages)
            rows = await self._rank(connection, terms, passages, mean_length)
        if not rows:
            return RetrieverResult((), notes=notes + missing_phrases_note(self.query))
        return RetrieverResult(best_per_key(self._hits(rows, passages), self.limit), notes=notes)

    def _hits(self, rows: Sequence[_RankedRow], passages: int) -> list[Hit]:
        """Return hits with a confidence.

        Confidence is the product of: the share of the query's weight that the hit matches; how
        unlikely a match of that weight is by chance ("LGA1700" is significant, "red" is not); and
        the score relative to the best hit. For assets it is squared: half of the words is less
        than half an answer ("red" and "van" also match a red car beside a white van).
        """
        # By chance, one of n passages matches a weight of log n.
        chance_weight = math.log(1 + passages)
        top, query_weight = rows[0].score, rows[0].query_weight
        hits: list[Hit] = []
        confidence = 1.0
        for row in rows:
            share = row.matched_weight / query_weight if query_weight > 0 else 0.0
            own = share * min(row.matched_weight / chance_weight, 1.0) * row.score / top
            confidence = min(confidence, own * own if self.level == "asset" else own)
            key = row.asset_id if self.level == "asset" else row.passage_id
            if key is not None:
                hits.append(Hit(key, row.score, confidence=confidence, passage_id=row.passage_id))
        return hits

    async def _terms(self, connection: Connection, query: TextQuery, passages: int) -> Terms:
        leading = [
            LeadingTerm(term, concept, weight)
            for concept, (term, weight) in enumerate(zip(query.terms, query.weights, strict=True))
        ]
        common: list[CommonTerm] = []
        if passages > _SMALL_SCOPE_PASSAGES:
            total, _ = await passage_statistics(connection, None, self.caches)
            counts = await term_counts(connection, query.terms, self.caches)
            leading, common = _split_terms(leading, counts, total)
        for term in tuple(leading):
            if term.term in query.prefixes:
                expansions = await _expand_prefix(connection, term.term)
                leading += [LeadingTerm(each, term.concept, 1.0) for each in expansions]
        pairs = [
            AdjacentPair(
                f"{quote_term(query.terms[first])} <-> {quote_term(query.terms[second])}",
                first,
                second,
            )
            for first, second in query.word_pairs
        ]
        return Terms(leading, common, pairs)

    async def _rank(
        self, connection: Connection, terms: Terms, passages: int, mean_length: float
    ) -> list[_RankedRow]:
        parameters = {
            **self.scope.condition.parameters,
            "terms": [each.term for each in terms.leading],
            "concepts": [each.concept for each in terms.leading],
            "weights": [each.weight for each in terms.leading],
            "common_terms": [each.term for each in terms.common],
            "common_weights": [each.weight for each in terms.common],
            "shares": [each.share for each in terms.common],
            "pairs": [each.tsquery for each in terms.pairs],
            "firsts": [each.first for each in terms.pairs],
            "seconds": [each.second for each in terms.pairs],
            "adjacency_bonus": ADJACENCY_BONUS,
            "adjacency_candidates": _ADJACENCY_CANDIDATES,
            "passages": passages,
            "mean_length": mean_length,
            "k1": K1,
            "b": B,
            "collections": self.scope.collection_ids,
            "kinds": list(self.scope.kinds or ()),
            "max_postings": _MAX_POSTINGS,
            "candidates": max(_CANDIDATES, self.limit),
        }
        async with connection.cursor(row_factory=class_row(_RankedRow)) as cursor:
            # A prepared statement gets one generic plan that does not know the number of postings
            # of these terms, and takes five times as long.
            await cursor.execute(
                lexical_statement(self.scope, self.level), parameters, prepare=False
            )
            return await cursor.fetchall()


async def passage_statistics(
    connection: Connection, ids: Sequence[int] | None, caches: SearchCaches
) -> tuple[int, float]:
    """Return the number of passages and their mean length; None means all collections."""

    async def load() -> tuple[tuple[int, float], float]:
        started = time.monotonic()
        params = {"collections": None if ids is None else list(ids)}
        cursor = await connection.execute(_SQL["passage_statistics"], params)
        passages, mean_length = await cursor.fetchone() or (0, 0.0)
        # Spend at most 0.1% of the time on counting. A small table may grow: count it every time.
        elapsed = time.monotonic() - started
        ttl = max(_STATISTICS_TTL_SECONDS, 1000 * elapsed)
        return (passages, max(mean_length, 1.0)), ttl if passages > _SMALL_SCOPE_PASSAGES else 0.0

    return await caches.passage_statistics.get(None if ids is None else tuple(ids), load)


async def term_counts(
    connection: Connection, terms: Sequence[str], caches: SearchCaches
) -> dict[str, int]:
    """Return the number of passages that contain each term, at most a million."""
    counts = {term: caches.term_counts[term] for term in terms if term in caches.term_counts}
    missing = [term for term in terms if term not in counts]
    if missing:
        params = {"terms": missing, "max_count": _MAX_COUNTED_PASSAGES}
        cursor = await connection.execute(_SQL["term_counts"], params)
        for term, count in await cursor.fetchall():
            counts[term] = caches.term_counts[term] = count
    return counts


def lexical_statement(scope: SearchScope, level: ResultLevel) -> sql.Composed:
    """Build the BM25 statement for a scope; statistics ignore the scope's filter."""
    conditions: list[sql.Composable] = []
    joins = sql.SQL("")
    if scope.condition:
        conditions.append(scope.condition.sql)
        joins = sql.SQL(_SQL["passage_joins"])
    if scope.kinds:
        conditions.append(sql.SQL("p.kind = ANY (%(kinds)s)"))
    return sql.SQL(_SQL["lexical"]).format(
        condition=sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"),
        scope=sql.SQL(
            "true" if scope.all_collections else "p.collection_id = ANY (%(collections)s)"
        ),
        joins=joins,
        candidates=sql.SQL(_SQL["best_assets" if level == "asset" else "best_passages"]),
        saturation=_saturation("posted.frequency", "posted.token_count"),
        common_saturation=_saturation("o.frequency", "candidate.token_count"),
    )


def _saturation(frequency: str, length: str) -> sql.Composed:
    return sql.SQL(_SQL["saturation"]).format(
        frequency=sql.Identifier(*frequency.split(".")), length=sql.Identifier(*length.split("."))
    )


def _split_terms(
    terms: Sequence[LeadingTerm], counts: Mapping[str, int], passages: int
) -> tuple[list[LeadingTerm], list[CommonTerm]]:
    """Split terms: the rarest lead, at least one, while their postings are few enough."""
    leading: list[LeadingTerm] = []
    common: list[CommonTerm] = []
    postings = 0
    for term in sorted(terms, key=lambda term: counts[term.term]):
        count = counts[term.term]
        if postings and postings + count > MAX_LEADING_POSTINGS:
            common.append(CommonTerm(term.term, term.weight, min(count / passages, 0.999)))
        else:
            leading.append(term)
            postings += count
    return leading, common


async def _expand_prefix(connection: Connection, character: str) -> list[str]:
    """Return longer terms that begin with the character."""
    params = {
        "prefix": character,
        "end": character + _LAST_CHARACTER,
        "max_terms": _MAX_EXPANSIONS,
    }
    return await fetch_values(connection, _SQL["terms_with_prefix"], params)
