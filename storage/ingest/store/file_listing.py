"""List the first files of an ingest with the ids of their assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.ingest.progress import IngestedFile, ListedFile
from sightline.storage.records.collections import Collection

_SQL = load_sql("ingest")
#: Assets that are listed for one file; a document has one per page.
_MAX_ASSETS = 20


@dataclass(frozen=True, slots=True)
class _Assets:
    content_key: bytes
    asset_ids: list[str]
    asset_count: int


async def ingested_files(
    connection: Connection, collection: Collection, files: Sequence[ListedFile]
) -> list[IngestedFile]:
    """Return the files in order; new and known ones with their assets."""
    params = {
        "collection_id": collection.id,
        "keys": list({each.content_key for each in files if each.content_key is not None}),
        "max_assets": _MAX_ASSETS,
    }
    found = await fetch_all(connection, _SQL["assets_of_keys"], params, row=_Assets)
    by_key = {each.content_key: each for each in found}
    listed = []
    for file in files:
        assets = by_key.get(file.content_key or b"")
        ids, count = (tuple(assets.asset_ids), assets.asset_count) if assets else ((), 0)
        listed.append(IngestedFile(file.name, file.outcome, ids, count))
    return listed
