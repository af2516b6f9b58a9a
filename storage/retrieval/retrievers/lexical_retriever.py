"""Retrieve by words with BM25 over postings."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.rows import class_row

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_values, load_sql
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.retrievers.lexical_significance import (
    LexicalSignificance,
    content_flags,
)
from sightline.storage.retrieval.search_caches import SearchCaches, counting_ttl
from sightline.storage.retrieval.search_types import (
    Hit,
    Modality,
    ResultLevel,
    RetrieverResult,
    best_per_key,
)
from sightline.storage.text.analyzer import (
    MAX_QUERY_TERMS,
    TextQuery,
    analyze_query,
    parse_phrases,
    quote_term,
)

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


class _Term(NamedTuple):
    """A term to search; ``concept`` is the position of the query's term."""

    term: str
    concept: int
    weight: float
    is_content: bool


@dataclass(frozen=True, slots=True)
class _RankedRow:
    passage_id: int
    asset_id: str | None
    score: float
    matched_weight: float
    query_weight: float
    matched_content: float
    query_content: float
    concepts: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalRetriever:
    """Finds passages, or the assets they belong to, by the words of the query."""

    database: Database
    scope: SearchScope
    caches: SearchCaches
    query: str
    level: ResultLevel
    name: str = "lexical"
    modality: Modality = "text"

    async def retrieve(self) -> RetrieverResult:
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
            parameters = await self._parameters(connection, query, passages, mean_length)
            async with connection.cursor(row_factory=class_row(_RankedRow)) as cursor:
                # A prepared statement gets one generic plan that does not know the number of
                # postings of these terms, and takes five times as long.
                statement = lexical_statement(self.scope, self.level)
                await cursor.execute(statement, parameters, prepare=False)
                rows = await cursor.fetchall()
        if not rows and (quoted := [repr(each.text) for each in parse_phrases(self.query)]):
            notes += (f"No text contains the quoted phrases: {', '.join(quoted)}.",)
        if not rows:
            return RetrieverResult((), notes=notes)
        significance = LexicalSignificance.of(
            query,
            missing=set(parameters["concepts"]).difference(rows[0].concepts),
            content=rows[0].query_content,
            passages=passages,
        )
        return RetrieverResult(best_per_key(self._hits(rows, passages, significance)), notes=notes)

    def _hits(
        self, rows: Sequence[_RankedRow], passages: int, significance: LexicalSignificance
    ) -> list[Hit]:
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
        has_phrases = bool(parse_phrases(self.query))  # then each match contains all of them
        for row in rows:
            share = row.matched_weight / query_weight if query_weight > 0 else 0.0
            own = share * min(row.matched_weight / chance_weight, 1.0) * row.score / top
            confidence = min(confidence, own * own if self.level == "asset" else own)
            key = row.asset_id if self.level == "asset" else row.passage_id
            if key is not None:
                stands_out = has_phrases or significance.is_significant(row.matched_content)
                hits.append(
                    Hit(
                        key,
                        row.score,
                        confidence=confidence,
                        passage_id=row.passage_id,
                        is_significant=stands_out,
                        coverage=significance.coverage(row.matched_content),
                    )
                )
        return hits

    async def _parameters(
        self, connection: Connection, query: TextQuery, passages: int, mean_length: float
    ) -> dict[str, Any]:
        contents = content_flags(query)
        leading = [
            _Term(*each)
            for each in zip(query.terms, count(), query.weights, contents, strict=False)
        ]
        common: list[_Term] = []
        shares: list[float] = []
        if passages > _SMALL_SCOPE_PASSAGES:
            total, _ = await passage_statistics(connection, None, self.caches)
            counts = await term_counts(connection, query.terms, self.caches)
            by_count = sorted(leading, key=lambda each: counts[each.term])
            leading = []
            postings = 0
            for term in by_count:  # the rarest lead, at least one
                if postings and postings + counts[term.term] > MAX_LEADING_POSTINGS:
                    common.append(term)
                else:
                    leading.append(term)
                    postings += counts[term.term]
            shares = [min(counts[each.term] / total, 0.999) for each in common]
        for term in [each for each in leading if each.term in query.prefixes]:
            end = term.term + _LAST_CHARACTER
            params = {"prefix": term.term, "end": end, "max_terms": _MAX_EXPANSIONS}
            longer = await fetch_values(connection, _SQL["terms_with_prefix"], params)
            leading += [_Term(each, term.concept, 1.0, term.is_content) for each in longer]
        quoted = [quote_term(term) for term in query.terms]
        return {
            **self.scope.condition.parameters,
            "terms": [each.term for each in leading],
            "concepts": [each.concept for each in leading],
            "weights": [each.weight for each in leading],
            "contents": [each.is_content for each in leading],
            "common_terms": [each.term for each in common],
            "common_weights": [each.weight for each in common],
            "common_contents": [each.is_content for each in common],
            "shares": shares,
            "pairs": [f"{quoted[one]} <-> {quoted[other]}" for one, other in query.word_pairs],
            "firsts": [one for one, _ in query.word_pairs],
            "seconds": [other for _, other in query.word_pairs],
            "adjacency_bonus": ADJACENCY_BONUS,
            "adjacency_candidates": _ADJACENCY_CANDIDATES,
            "passages": passages,
            "mean_length": mean_length,
            "k1": K1,
            "b": B,
            "collections": self.scope.collection_ids,
            "kinds": list(self.scope.kinds or ()),
            "max_postings": _MAX_POSTINGS,
            "candidates": _CANDIDATES,
        }


async def passage_statistics(
    connection: Connection, ids: Sequence[int] | None, caches: SearchCaches
) -> tuple[int, float]:
    """Return the number of passages and their mean length.

    ``ids`` None means all visible collections.
    """

    async def load() -> tuple[tuple[int, float], float]:
        started = time.monotonic()
        params = {"collections": None if ids is None else list(ids)}
        cursor = await connection.execute(_SQL["passage_statistics"], params)
        passages, mean_length = await cursor.fetchone() or (0, 0.0)
        # A small table may grow: count it every time.
        ttl = counting_ttl(started) if passages > _SMALL_SCOPE_PASSAGES else 0.0
        return (passages, max(mean_length, 1.0)), ttl

    return await caches.passage_statistics.get(None if ids is None else tuple(ids), load)


async def term_counts(
    connection: Connection, terms: Sequence[str], caches: SearchCaches
) -> dict[str, int]:
    """Return the number of visible passages that contain each term, at most a million.

    For a bound principal the policy of ``posting`` leaves out what it does not see. That takes a
    microsecond for each posting of the term, seven times as long as without a policy.
    """
    cached = {term: caches.term_counts.get(term) for term in terms}
    counts = {term: count for term, count in cached.items() if count is not None}
    missing = [term for term in cached if term not in counts]
    if missing:
        started = time.monotonic()
        params = {"terms": missing, "max_count": _MAX_COUNTED_PASSAGES}
        cursor = await connection.execute(_SQL["term_counts"], params)
        found: dict[str, int] = dict(await cursor.fetchall())
        for term, count in found.items():
            caches.term_counts.set(term, count, ttl_seconds=counting_ttl(started))
        counts |= found
    return counts


def lexical_statement(scope: SearchScope, level: ResultLevel) -> sql.Composed:
    """Build the BM25 statement for a scope; statistics ignore the scope's filter."""
    conditions = [scope.condition.sql]
    if scope.kinds:
        conditions.append(sql.SQL("p.kind = ANY (%(kinds)s)"))
    saturation = sql.SQL(_SQL["saturation"])
    return sql.SQL(_SQL["lexical"]).format(
        condition=sql.SQL(" AND ").join(conditions),
        scope=sql.SQL(
            "true" if scope.all_collections else "p.collection_id = ANY (%(collections)s)"
        ),
        joins=sql.SQL(_SQL["passage_joins"] if scope.condition else ""),
        candidates=sql.SQL(_SQL["best_assets" if level == "asset" else "best_passages"]),
        saturation=saturation.format(
            frequency=sql.SQL("posted.frequency"), length=sql.SQL("posted.token_count")
        ),
        common_saturation=saturation.format(
            frequency=sql.SQL("o.frequency"), length=sql.SQL("candidate.token_count")
        ),
    )
