"""Assets and passages as people name them: by the file that they came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection

_SQL = sql_loader.load("lookup")


@dataclass(frozen=True, slots=True)
class FiledAsset:
    """A picture and the name of its source; ``page`` from 1, of documents only."""

    source: str
    id: str
    page: int | None


@dataclass(frozen=True, slots=True)
class FiledPassage:
    """A passage and the name of its source."""

    source: str
    id: int
    page: int | None
    kind: str
    text: str


async def assets_of(
    connection: Connection, files: Iterable[str], collection: str | None
) -> list[FiledAsset]:
    """Assets whose sources' names end in one of the names; ``None`` looks in all collections."""
    found = await connection.execute(_SQL["assets_of_files"], _asked(files, collection))
    return [FiledAsset(*row) for row in await found.fetchall()]


async def passages_of(
    connection: Connection, files: Iterable[str], collection: str | None
) -> list[FiledPassage]:
    """Passages whose sources' names end in one of the names, likewise."""
    found = await connection.execute(_SQL["passages_of_files"], _asked(files, collection))
    return [FiledPassage(*row) for row in await found.fetchall()]


def _asked(files: Iterable[str], collection: str | None) -> dict[str, object]:
    names = {file.rsplit("/", 1)[-1] for file in files}
    return {"files": sorted(each for each in names if "\0" not in each), "collection": collection}
