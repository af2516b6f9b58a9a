"""Forgets the words of a collection that no text of it has any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sightline.storage.db.queries import Connection, fetch_all, load_sql

#: A term with more postings keeps its words: searches ignore those that their texts do not have.
_MAX_POSTINGS: Final = 1_000

_SQL = load_sql("deleted_words")


@dataclass(frozen=True, slots=True)
class _Term:
    collection_id: int
    term: str


@dataclass(slots=True)
class DeletedWords:
    """The words of deleted texts.

    Call ``collect`` before a deletion, and ``forget`` when all texts of the transaction are written
    and deleted. Both need the lock of the collection: an ingest adds words with it.
    """

    _terms: set[_Term] = field(default_factory=set)

    async def collect(
        self,
        connection: Connection,
        *,
        sources: Sequence[int] = (),
        assets: Sequence[str] = (),
        kinds: Sequence[str] | None = None,
    ) -> None:
        """Remember the words of passages of sources or assets; ``kinds`` None are all."""
        params = {
            "sources": list(sources),
            "assets": list(assets),
            "kinds": None if kinds is None else list(kinds),
        }
        self._terms.update(await fetch_all(connection, _SQL["terms"], params, row=_Term))

    async def forget(self, connection: Connection) -> None:
        """Delete the words that no text of their collection has."""
        if not self._terms:
            return
        params = {
            "collections": [each.collection_id for each in self._terms],
            "terms": [each.term for each in self._terms],
            "max_postings": _MAX_POSTINGS,
        }
        await connection.execute(_SQL["forget"], params)
