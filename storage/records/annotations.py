"""Annotations: labeled boxes on assets, by people or models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from sightline.storage.db.queries import (
    Connection,
    fetch_all,
    fetch_one,
    fetch_value,
    fetch_values,
    load_sql,
)
from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.types import Box

Origin = Literal["person", "model"]

_SQL = load_sql("annotations")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAnnotation:
    """An annotation to save."""

    label: str
    box: Box
    origin: Origin
    score: float | None = None
    model: str | None = None
    author: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """A saved annotation."""

    id: int
    asset_id: str
    label: str
    box: Box
    score: float | None
    origin: Origin
    model: str | None
    author: str | None
    note: str | None
    created_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", tuple(self.box))  # Postgres returns a list


async def save(
    connection: Connection, asset_id: str, annotations: Sequence[NewAnnotation]
) -> list[int]:
    """Save annotations of an existing asset, all or none; return their ids."""
    return [
        await fetch_value(
            connection,
            _SQL["insert"],
            {
                **asdict(each),
                "asset_id": asset_id,
                **dict(zip(("x0", "y0", "x1", "y1"), each.box, strict=True)),
            },
        )
        for each in annotations
    ]


async def list_by_asset(
    connection: Connection, asset_ids: Iterable[str]
) -> dict[str, list[Annotation]]:
    """Return the annotations of each asset that has any, oldest first."""
    params = {"asset_ids": list(asset_ids)}
    by_asset: dict[str, list[Annotation]] = {}
    for each in await fetch_all(connection, _SQL["list_by_asset"], params, row=Annotation):
        by_asset.setdefault(each.asset_id, []).append(each)
    return by_asset


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
