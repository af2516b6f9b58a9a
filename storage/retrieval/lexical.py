"""Words on and around pictures: BM25 over postings, keyed on assets or on passages."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llama_index.core.schema import QueryBundle
from psycopg import sql
from psycopg.rows import TupleRow

from sightline.storage import queries
from sightline.storage.database import Connection, Database
from sightline.storage.retrieval.branch import Branch, Candidate, Found, best_of_each
from sightline.storage.retrieval.kept import Kept
from sightline.storage.retrieval.nearest import Target
from sightline.storage.retrieval.phrasing import without
from sightline.storage.retrieval.scope import Scope
from sightline.storage.text.query import MAX_QUERY_TERMS, Query, analyse_query

_SQL = queries.load("retrieval")

# Passages are short and of like length: length says less of them than of whole documents.
K1 = 0.9
B = 0.4
LEADING_POSTINGS = 10_000
"""How many postings may be read to find candidates: rare terms first; the others only rank."""
_MOST_POSTINGS = 50_000  # even where the rarest term alone has more
_MOST_COUNTED = 1_000_000
_SMALL_SCOPE = 5_000
_CANDIDATES = 400
_BEGINNINGS = 200
_LAST = "\U0010ffff"
_STATISTICS_KEPT_SECONDS = 60.0
_COUNTS_KEPT = 50_000
_SIZES_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """A query's terms by what they are for.

    ``leading`` find candidates: term, concept (place of the query's term), weight. ``common``
    only rank: term, weight, share of all passages that hold it.
    """

    leading: tuple[tuple[str, int, float], ...]
    common: tuple[tuple[str, float, float], ...]


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

        Evidence is the part of the query that a hit holds, each term counting by its rarity (all
        of "LGA1700 bracket" is strong, a half is half, "the" alone is nothing), times its score as
        a share of the best, which ranks would forget.
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
        return Found(
            best_of_each(self._candidates(rows, terms, passages), self._depth), notes=notes
        )

    def _candidates(self, rows: Sequence[TupleRow], terms: Terms, passages: int) -> list[Candidate]:
        """Rows are: passage, asset, score, idf of matched terms, idf of all found, concepts."""
        if not rows:
            return []
        found = set(rows[0][5] or ())
        unseen = math.log(1 + (passages + 0.5) / 0.5)
        missing = {concept: w for _, concept, w in terms.leading if concept not in found}
        whole = float(rows[0][4]) + unseen * sum(missing.values())
        candidates: list[Candidate] = []
        evidence, top = 1.0, float(rows[0][2])
        for passage, asset, score, matched, _, _ in rows:
            evidence = min(evidence, float(matched) / whole * float(score) / top)
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
        return Terms(tuple(leading), tuple(common))

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
