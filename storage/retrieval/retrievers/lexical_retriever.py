"""Retrieve by words with BM25 over postings."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.rows import args_row

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_values, load_sql
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.retrievers.lexical_significance import LexicalSignificance
from sightline.storage.retrieval.retrievers.near_words import NearWord, find_near_words
from sightline.storage.retrieval.search_caches import SearchCaches, counting_ttl
from sightline.storage.retrieval.search_types import (
    MAX_RESULTS,
    Hit,
    Modality,
    ResultLevel,
    RetrieverResult,
    best_per_key,
)
from sightline.storage.text.analyzer import is_word, quote_term
from sightline.storage.text.dates import ORDER_TERMS
from sightline.storage.text.phrases import parse_phrases
from sightline.storage.text.query_analysis import (
    MAX_QUERY_TERMS,
    QueryTerm,
    QueryWord,
    TextQuery,
    analyze_query,
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
_MAX_NOTED_WORDS = 3
_MAX_COUNTED_DATES = 1_000
_MIN_ORDER_RATIO = 4
"""So many more dates must have one order of day and month than the other."""


class _RankedRow(NamedTuple):
    passage_id: int
    asset_id: str | None
    score: float
    matched_weight: float
    matched_content: float
    query_weight: float
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
        phrases = parse_phrases(self.query)
        near: Mapping[QueryWord, Sequence[NearWord]] = {}
        async with self.database.connection(autocommit=True) as connection:
            ids = None if self.scope.all_collections else self.scope.collection_ids
            passages, mean_length = await passage_statistics(connection, ids, self.caches)
            if not passages:
                return RetrieverResult((), note_if_empty="What was searched has no text.")
            terms = await self._readable_terms(connection, query)
            parameters = await self._parameters(connection, query, terms, passages, mean_length)
            rows = await self._search(connection, parameters)
            if restored := _restore_parts(terms, rows):
                terms = restored
                parameters = await self._parameters(connection, query, terms, passages, mean_length)
                rows = await self._search(connection, parameters)
            missing = [] if phrases else _missing_words(query, parameters, rows)
            if missing:
                near = await find_near_words(connection, missing, self.scope.collection_ids)
            if near:
                _add_near_words(parameters, near)
                rows = await self._search(connection, parameters)
        notes = _notes(query if not phrases else replace(query, negations=()), near)
        if not rows and phrases:
            quoted = ", ".join(repr(each.text) for each in phrases)
            notes += (f"No text contains the quoted phrases: {quoted}.",)
        if not rows:
            note = "" if phrases else _note_on_nothing(query)
            return RetrieverResult((), notes=notes, note_if_empty=note)
        significance = LexicalSignificance.of(
            query,
            found=set(rows[0].concepts),
            nearness={word: found[0].weight for word, found in near.items()},
            content=rows[0].query_content,
            passages=passages,
        )
        return RetrieverResult(
            best_per_key(self._hits(rows, passages, significance, has_phrases=bool(phrases))),
            notes=notes,
            terms=_searched_terms(terms, parameters),
        )

    async def _search(
        self, connection: Connection, parameters: Mapping[str, Any]
    ) -> list[_RankedRow]:
        concepts = parameters["concepts"]
        statement = lexical_statement(
            self.scope, self.level, has_alternatives=len(set(concepts)) < len(concepts)
        )
        async with connection.cursor(row_factory=args_row(_RankedRow)) as cursor:
            # A prepared statement gets one generic plan that does not know the number of
            # postings of these terms, and takes five times as long.
            await cursor.execute(statement, parameters, prepare=False)
            return await cursor.fetchall()

    async def _readable_terms(self, connection: Connection, query: TextQuery) -> list[QueryTerm]:
        """Return the terms without the readings of dates that the collections do not use."""
        if not any(term.order for term in query.terms):
            return list(query.terms)
        params = {
            "terms": list(ORDER_TERMS.values()),
            "collections": self.scope.collection_ids,
            "max_count": _MAX_COUNTED_DATES,
        }
        cursor = await connection.execute(_SQL["date_orders"], params)
        counts: dict[str, int] = dict(await cursor.fetchall())
        proofs = {order: counts.get(term, 0) for order, term in ORDER_TERMS.items()}
        unused = {
            order
            for order, count in proofs.items()
            if count * _MIN_ORDER_RATIO <= sum(proofs.values()) - count > 0
        }
        return [term for term in query.terms if term.order not in unused]

    def _hits(
        self,
        rows: Sequence[_RankedRow],
        passages: int,
        significance: LexicalSignificance,
        *,
        has_phrases: bool,
    ) -> list[Hit]:
        """Return hits with a confidence; with phrases, each contains all of them.

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
                stands_out = has_phrases or significance.is_significant(row.matched_content)
                hit = Hit(key, row.score, confidence=confidence, passage_id=row.passage_id)
                coverage = significance.coverage(row.matched_content)
                hits.append(hit._replace(is_significant=stands_out, coverage=coverage))
        return hits

    async def _parameters(
        self,
        connection: Connection,
        query: TextQuery,
        terms: Sequence[QueryTerm],
        passages: int,
        mean_length: float,
    ) -> dict[str, Any]:
        leading = list(terms)
        common: list[QueryTerm] = []
        shares: list[float] = []
        if passages > _SMALL_SCOPE_PASSAGES:
            total, _ = await passage_statistics(connection, None, self.caches)
            counts = await term_counts(connection, [each.term for each in terms], self.caches)
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
            leading += [term._replace(term=each, weight=1.0) for each in longer]
        pairs = [(query.terms[one], query.terms[other]) for one, other in query.word_pairs]
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
            "pairs": [
                f"{quote_term(one.term)} <-> {quote_term(other.term)}" for one, other in pairs
            ],
            "firsts": [one.concept for one, _ in pairs],
            "seconds": [other.concept for _, other in pairs],
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
            "rows": MAX_RESULTS,
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


def lexical_statement(
    scope: SearchScope, level: ResultLevel, *, has_alternatives: bool = False
) -> sql.Composed:
    """Build the BM25 statement for a scope; statistics ignore the scope's filter.

    ``has_alternatives`` says that several terms may stand for one concept.
    """
    conditions = [scope.condition.sql]
    if scope.kinds:
        conditions.append(sql.SQL("p.kind = ANY (%(kinds)s)"))
    saturation = sql.SQL(_SQL["saturation"])
    parts = sql.SQL(_SQL["parts"]).format(
        saturation=saturation.format(
            frequency=sql.SQL("posted.frequency"), length=sql.SQL("posted.token_count")
        )
    )
    if has_alternatives:
        parts = sql.SQL(_SQL["united_parts"]).format(parts=parts)
    return sql.SQL(_SQL["lexical"]).format(
        parts=parts,
        count=sql.SQL("count(DISTINCT id)" if has_alternatives else "count(*)"),
        condition=sql.SQL(" AND ").join(conditions),
        scope=sql.SQL(
            "true" if scope.all_collections else "p.collection_id = ANY (%(collections)s)"
        ),
        joins=sql.SQL(_SQL["passage_joins"] if scope.condition else ""),
        candidates=sql.SQL(_SQL["best_assets" if level == "asset" else "best_passages"]),
        key=sql.SQL("candidate.asset_id" if level == "asset" else "candidate.id::text"),
        common_saturation=saturation.format(
            frequency=sql.SQL("o.frequency"), length=sql.SQL("candidate.token_count")
        ),
    )


def _searched_terms(
    terms: Sequence[QueryTerm], parameters: Mapping[str, Any]
) -> tuple[QueryTerm, ...]:
    """Return the terms of the query, near words and terms with a prefix."""
    names = ("terms", "concepts", "weights", "contents")
    leading = map(QueryTerm, *(parameters[name] for name in names))
    return tuple({each.term: each for each in (*terms, *leading)}.values())


def _restore_parts(terms: Sequence[QueryTerm], rows: Sequence[_RankedRow]) -> list[QueryTerm]:
    """Restore the parts of dates and numbers that no text has; [] if none."""
    found = set(rows[0].concepts) if rows else set()
    if not any(term.part_of is not None and term.part_of not in found for term in terms):
        return []
    return [
        term if term.part_of is None or term.part_of in found else term.restored() for term in terms
    ]


def _note_on_nothing(query: TextQuery) -> str:
    words = [repr(word.text) for word in query.words if word.is_content]
    rest = ", …" if len(words) > _MAX_NOTED_WORDS else ""
    return f"No text that was searched contains {', '.join(words[:_MAX_NOTED_WORDS])}{rest}."


def _missing_words(
    query: TextQuery, parameters: Mapping[str, Any], rows: Sequence[_RankedRow]
) -> list[QueryWord]:
    """Return the content words that no text contains; all if there is no row.

    A text with short parts of a part number ("7" of "A0B7") does not contain it.
    """
    requested = set(parameters["concepts"])
    found = set(rows[0].concepts) if rows else set()
    found &= {each.concept for each in query.terms if is_word(each.term) or not each.term.isascii()}
    return [
        word
        for word in query.words
        if word.is_content and found.isdisjoint(word.concepts) and requested >= {*word.concepts}
    ]


def _add_near_words(
    parameters: dict[str, Any], near: Mapping[QueryWord, Sequence[NearWord]]
) -> None:
    known = set(parameters["terms"])
    for word, found in near.items():
        for each in found:
            if each.term not in known:
                known.add(each.term)
                parameters["terms"].append(each.term)
                parameters["concepts"].append(word.concepts[0])
                parameters["weights"].append(each.weight)
                parameters["contents"].append(True)


def _notes(query: TextQuery, near: Mapping[QueryWord, Sequence[NearWord]]) -> tuple[str, ...]:
    notes: list[str] = []
    if query.truncated:
        notes.append(f"Text search used only the first {MAX_QUERY_TERMS} terms of the query.")
    notes += [
        f"No text contains {word.text!r}. Searched {found[0].word!r}."
        for word, found in list(near.items())[:_MAX_NOTED_WORDS]
    ]
    if query.negations:
        words = ", ".join(map(repr, query.negations))
        notes.append(f"Search ignores {words}: hits may have what the query excludes.")
    return tuple(notes)
