"""Annotations: labeled boxes on assets, by people, by models or from files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from typing import Final, Literal, NamedTuple

from sightline.storage.db.queries import (
    Connection,
    fetch_all,
    fetch_one,
    fetch_value,
    fetch_values,
    load_sql,
)
from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown
from sightline.storage.types import Box

Origin = Literal["person", "model", "file", "detector"]
"""``file``: from the metadata of a picture, or an annotation file beside it. ``detector``: of the
collection's vocabulary, at ingest."""

#: Annotations of one author on one asset.
MAX_PER_ASSET: Final = 1_000

_SQL = load_sql("annotations")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAnnotation:
    """An annotation to save."""

    label: str
    box: Box
    origin: Origin
    score: float | None = None
    model: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation(NewAnnotation):
    """A saved annotation."""

    id: int
    asset_id: str
    author: str | None
    created_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", tuple(self.box))  # Postgres returns a list


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted(Annotation):
    total: int


class NewestAnnotations(NamedTuple):
    """The newest annotations of an asset, oldest first, and the number of all."""

    newest: Sequence[Annotation] = ()
    total: int = 0


async def save(
    connection: Connection,
    asset_id: str,
    annotations: Sequence[NewAnnotation],
    *,
    author: str | None = None,
    replace: bool = False,
    delete: Sequence[int] = (),
) -> list[int]:
    """Save annotations of an existing asset, all or none; return their ids.

    ``replace`` deletes the author's earlier annotations of the asset, ``delete`` those with these
    ids. Raises InvalidArgumentError for an id that the author may not delete, and NotAllowedError
    if the author would have more than `MAX_PER_ASSET` annotations.
    """
    own = {"asset_id": asset_id, "author": author}
    if delete:
        wanted = {**own, "ids": list(delete)}
        gone = await fetch_values(connection, _SQL["delete_by_id"], wanted)
        if missing := sorted({*delete} - {*gone}):
            raise InvalidArgumentError(
                f"The annotation {missing[0]} cannot be deleted: it is not on the asset "
                f"{asset_id}, or another person made it. Give ids of your own annotations or "
                "of a model's."
            )
    if replace:
        await connection.execute(_SQL["delete_by_author"], own)
    count = await fetch_value(connection, _SQL["count_by_author"], own)
    if count + len(annotations) > MAX_PER_ASSET:
        raise NotAllowedError(
            f"You have {count:,} annotations on the asset {asset_id}; {len(annotations)} more "
            f"exceed the limit of {MAX_PER_ASSET:,}. Give replace=true to delete your earlier ones "
            "on this asset first."
        )
    ids = []
    for each in annotations:
        corners = dict(zip(("x0", "y0", "x1", "y1"), each.box, strict=True))
        params = {**asdict(each), **corners, **own}
        ids.append(await fetch_value(connection, _SQL["insert"], params))
    return ids


async def list_newest(
    connection: Connection, asset_ids: Iterable[str], limit: int
) -> dict[str, NewestAnnotations]:
    """Return at most ``limit`` annotations of each asset that has any."""
    params = {"asset_ids": list(asset_ids), "limit": limit}
    rows = await fetch_all(connection, _SQL["list_newest"], params, row=_Counted)
    groups = {id_: list(group) for id_, group in groupby(rows, lambda row: row.asset_id)}
    return {id_: NewestAnnotations(group, group[0].total) for id_, group in groups.items()}


async def list_by_asset(
    connection: Connection, asset_ids: Iterable[str]
) -> dict[str, list[Annotation]]:
    """Return the annotations of each asset that has any, oldest first."""
    params = {"asset_ids": list(asset_ids)}
    rows = await fetch_all(connection, _SQL["list_by_asset"], params, row=Annotation)
    return {id_: list(group) for id_, group in groupby(rows, lambda row: row.asset_id)}


async def annotated_asset_ids(connection: Connection, collection: str | None) -> list[str]:
    """Return the ids of assets with annotations; None means all collections."""
    params = {"collection": collection}
    return await fetch_values(connection, _SQL["annotated_asset_ids"], params)


async def get(connection: Connection, annotation_id: int) -> Annotation:
    """Return one annotation. Raises InvalidArgumentError if the id is unknown."""
    found = await fetch_one(connection, _SQL["get"], {"id": annotation_id}, row=Annotation)
    if found is None:
        raise InvalidArgumentError(
            f"Unknown annotation {shown(annotation_id)}. view_image with annotated=true lists the "
            "annotations of an asset."
        )
    return found
