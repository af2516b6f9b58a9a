"""Words on and around pictures: BM25 over postings, keyed on assets or on passages."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llama_index.core.schema import QueryBundle
from psycopg import sql
from psycopg.rows import TupleRow

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection, Database
from sightline.storage.retrieval.query.phrase_filter import without
from sightline.storage.retrieval.filters.search_scope import Scope
from sightline.storage.retrieval.retrievers.base_retriever import (
    Branch,
    Candidate,
    Found,
    best_of_each,
)
from sightline.storage.retrieval.retrievers.knn import Target
from sightline.storage.retrieval.ttl_cache import Kept
from sightline.storage.text.analyzer import quoted
from sightline.storage.text.text_query import MAX_QUERY_TERMS, Query, analyse_query

_SQL = sql_loader.load("retrieval")

# Passages are short and of like length: length says less of them than of whole documents.
K1 = 0.9
B = 0.4
NEARNESS = 0.5
"""What two words are worth that stand side by side in query and passage, as a share of the rarer's
weight: "red bus" is first a red bus, and then a green bus beside a red van."""
LEADING_POSTINGS = 10_000
"""How many postings may be read to find candidates: rare terms first; the others only rank."""
_MOST_POSTINGS = 50_000  # even where the rarest term alone has more
_MOST_COUNTED = 1_000_000
_SMALL_SCOPE = 5_000
_CANDIDATES = 400
_NEAR_CANDIDATES = 50
_BEGINNINGS = 200
_LAST = "\U0010ffff"
_STATISTICS_KEPT_SECONDS = 60.0
_COUNTS_KEPT = 50_000
_SIZES_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """A query's terms by what they are for.

    ``leading`` find candidates: term, concept (place of the query's term), weight. ``common``
    only rank: term, weight, share of all passages that hold it. ``neighbours`` are a tsquery of
    two that stand side by side in the query, and their concepts.
    """

    leading: tuple[tuple[str, int, float], ...]
    common: tuple[tuple[str, float, float], ...]
    neighbours: tuple[tuple[str, int, int], ...] = ()


class Statistics:
    """Numbers that BM25 needs of the tables, kept for a minute: ranking forgives age."""

    def __init__(self) -> None:
        self._sizes = Kept[tuple[int, ...] | None, tuple[int, float]](_SIZES_KEPT)
        self._counts: dict[str, tuple[float, int]] = {}

    async def size(self, connection: Connection, ids: Sequence[int] | None) -> tuple[int, float]:
        """Passages in the collections (of all for None) and the mean of their lengths."""

        async def learn() -> tuple[tuple[int, float], float]:
            started = time.monotonic()
            row = await (
                await connection.execute(
                    _SQL["passage_statistics"], {"collections": None if ids is None else list(ids)}
                )
            ).fetchone()
            passages, mean = (0, 0.0) if row is None else row
            # Counting a large table may take a thousandth of the time, no more; a small one,
            # which may be growing, is counted each time.
            spent = time.monotonic() - started
            keep = max(_STATISTICS_KEPT_SECONDS, 1000 * spent) if passages > _SMALL_SCOPE else 0.0
            return (passages, max(mean, 1.0)), keep

        return await self._sizes.get(None if ids is None else tuple(ids), learn)

    async def counts(self, connection: Connection, terms: Sequence[str]) -> dict[str, int]:
        """In how many of all passages each term stands, counted no further than a million."""
        now = time.monotonic()
        if len(self._counts) > _COUNTS_KEPT:
            self._counts.clear()
        kept = {term: self._counts.get(term, (0.0, 0)) for term in terms}
        unknown = [term for term, (until, _) in kept.items() if until <= now]
        if unknown:
            cursor = await connection.execute(
                _SQL["term_counts"], {"terms": unknown, "ceiling": _MOST_COUNTED}
            )
            for term, n in await cursor.fetchall():
                kept[term] = self._counts[term] = (now + _STATISTICS_KEPT_SECONDS, n)
        # Not from `self._counts`: another search may have emptied it in the meantime.
        return {term: n for term, (_, n) in kept.items()}


class LexicalBranch(Branch):
    """BM25; ``target`` says what results are keyed on."""

    def __init__(
        self,
        name: str,
        database: Database,
        scope: Scope,
        statistics: Statistics,
        *,
        target: Target = "asset",
        depth: int = 100,
    ) -> None:
        super().__init__(name, "words")
        self._database = database
        self._scope = scope
        self._statistics = statistics
        self._target: Target = target
        self._depth = depth

    async def find(self, query: QueryBundle) -> Found:
        """Takes the words of ``query.query_str``.

        Evidence is the part that a hit holds of what the query asks for and any text holds, each
        term counting by its rarity; times how unlikely it is that some passage holds as much by
        chance ("LGA1700" is telling, "red" alone is not, and "the" is nothing); times its score as
        a share of the best, which ranks would forget. Where pictures are asked for it is squared:
        beside what can be seen, half of the words is less than half an answer ("red" and "van"
        stand by a red car and a white van too).
        """
        asked = analyse_query(query.query_str)
        if not asked:
            return Found((), notes=("the query has no word to look for in text",))
        notes: tuple[str, ...] = (
            (f"only the first {MAX_QUERY_TERMS} terms of the query were looked for in text",)
            if asked.truncated
            else ()
        )
        async with self._database.connection(autocommit=True) as connection:
            ids = None if self._scope.everything else self._scope.ids
            passages, mean_length = await self._statistics.size(connection, ids)
            if not passages:
                return Found((), notes=notes)
            terms = await self._terms(connection, asked, passages)
            rows = await self._rank(connection, terms, passages, mean_length)
        if not rows:
            notes += without(query.query_str)
        return Found(best_of_each(self._candidates(rows, passages), self._depth), notes=notes)

    def _candidates(self, rows: Sequence[TupleRow], passages: int) -> list[Candidate]:
        """Rows are: passage, asset, score, weight of matched terms, weight of all that any has."""
        if not rows:
            return []
        # By chance, one of n passages holds what has a weight of log n.
        telling = math.log(1 + passages)
        candidates: list[Candidate] = []
        evidence, top, found = 1.0, float(rows[0][2]), float(rows[0][4])
        for passage, asset, score, matched, _ in rows:
            part = float(matched) / found if found > 0 else 0.0
            sure = part * min(float(matched) / telling, 1.0) * float(score) / top
            evidence = min(evidence, sure * sure if self._target == "asset" else sure)
            key = asset if self._target == "asset" else passage
            candidates.append(Candidate(key, float(score), evidence=evidence, passage_id=passage))
        return candidates

    async def _terms(self, connection: Connection, asked: Query, passages: int) -> Terms:
        leading = [
            (term, place, weight)
            for place, (term, weight) in enumerate(zip(asked.terms, asked.weights, strict=True))
        ]
        common: list[tuple[str, float, float]] = []
        if passages > _SMALL_SCOPE:
            total, _ = await self._statistics.size(connection, None)
            counts = await self._statistics.counts(connection, asked.terms)
            leading, common = _divide(leading, counts, total)
        for term, place, _ in tuple(leading):
            if term in asked.beginnings:
                leading += [(each, place, 1.0) for each in await _beginning(connection, term)]
        pairs = [
            (f"{quoted(asked.terms[first])} <-> {quoted(asked.terms[second])}", first, second)
            for first, second in asked.neighbours
        ]
        return Terms(tuple(leading), tuple(common), tuple(pairs))

    async def _rank(
        self, connection: Connection, terms: Terms, passages: int, mean_length: float
    ) -> list[TupleRow]:
        statement = lexical_statement(self._scope, self._target)
        cursor = await connection.execute(
            statement,
            {
                **self._scope.condition.parameters,
                "terms": [term for term, _, _ in terms.leading],
                "concepts": [concept for _, concept, _ in terms.leading],
                "weights": [weight for _, _, weight in terms.leading],
                "common_terms": [term for term, _, _ in terms.common],
                "common_weights": [weight for _, weight, _ in terms.common],
                "shares": [share for _, _, share in terms.common],
                "pairs": [pair for pair, _, _ in terms.neighbours],
                "firsts": [first for _, first, _ in terms.neighbours],
                "seconds": [second for _, _, second in terms.neighbours],
                "nearness": NEARNESS,
                "near_candidates": _NEAR_CANDIDATES,
                "passages": passages,
                "mean_length": mean_length,
                "k1": K1,
                "b": B,
                "collections": self._scope.ids,
                "kinds": list(self._scope.kinds or ()),
                "most_postings": _MOST_POSTINGS,
                "candidates": max(_CANDIDATES, self._depth),
                "depth": max(_CANDIDATES, self._depth),
            },
            # A prepared statement gets one plan for all queries after some. It does not know how
            # many postings these terms have, and takes five times as long.
            prepare=False,
        )
        return await cursor.fetchall()


def _divide(
    terms: list[tuple[str, int, float]], counts: Mapping[str, int], passages: int
) -> tuple[list[tuple[str, int, float]], list[tuple[str, float, float]]]:
    """Leading and common terms: the rarest lead, as many as the postings allowed, at least one."""
    leading: list[tuple[str, int, float]] = []
    common: list[tuple[str, float, float]] = []
    read = 0
    for term, place, weight in sorted(terms, key=lambda each: counts[each[0]]):
        if read and read + counts[term] > LEADING_POSTINGS:
            common.append((term, weight, min(counts[term] / passages, 0.999)))
        else:
            leading.append((term, place, weight))
            read += counts[term]
    return leading, common


def lexical_statement(scope: Scope, target: Target) -> sql.Composed:
    """The statement for a scope: statistics are of its collections, its filter picks after that."""
    kept: list[sql.Composable] = []
    joins = sql.SQL("")
    if scope.condition:
        kept.append(scope.condition.sql)
        joins = sql.SQL(_SQL["passage_joins"])
    if scope.kinds:
        kept.append(sql.SQL("p.kind = ANY (%(kinds)s)"))
    return sql.SQL(_SQL["lexical"]).format(
        condition=sql.SQL(" AND ").join(kept) if kept else sql.SQL("true"),
        scope=sql.SQL("true" if scope.everything else "p.collection_id = ANY (%(collections)s)"),
        joins=joins,
        candidates=sql.SQL(_SQL["best_assets" if target == "asset" else "best_passages"]),
        saturation=_saturation("posted.frequency", "posted.token_count"),
        common_saturation=_saturation("o.frequency", "candidate.token_count"),
    )


def _saturation(frequency: str, length: str) -> sql.Composed:
    return sql.SQL(_SQL["saturation"]).format(
        frequency=sql.Identifier(*frequency.split(".")), length=sql.Identifier(*length.split("."))
    )


async def _beginning(connection: Connection, character: str) -> list[str]:
    """Terms that begin with the character and are longer."""
    cursor = await connection.execute(
        _SQL["terms_beginning"],
        {"beginning": character, "end": character + _LAST, "most": _BEGINNINGS},
    )
    return [str(row[0]) for row in await cursor.fetchall()]
