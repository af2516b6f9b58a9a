"""Annotations: boxes with labels on assets, drawn by persons or models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.types import Box

Origin = Literal["person", "model"]

_SQL = sql_loader.load("annotations")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAnnotation:
    """What is to be kept. ``box`` is x0, y0, x1, y1, 0 to 1 of the upright picture."""

    label: str
    box: Box
    origin: Origin
    score: float | None = None
    model: str | None = None
    author: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """A row."""

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


async def save(
    connection: Connection, asset_id: str, annotations: Sequence[NewAnnotation]
) -> list[int]:
    """Keep them, all or none; their ids in order. The asset must exist (see ``assets.fetch``)."""
    ids: list[int] = []
    for each in annotations:
        x0, y0, x1, y1 = each.box
        cursor = await connection.execute(
            _SQL["insert"],
            {
                "asset_id": asset_id,
                "label": each.label,
                "x0": x0,
                "y0": y0,
                "x1": x1,
                "y1": y1,
                "score": each.score,
                "origin": each.origin,
                "model": each.model,
                "author": each.author,
                "note": each.note,
            },
        )
        (row,) = await cursor.fetchall()
        ids.append(int(row[0]))
    return ids


async def of_assets(
    connection: Connection, asset_ids: Iterable[str]
) -> dict[str, list[Annotation]]:
    """The annotations of each asset that has any, oldest first."""
    rows = await (
        await connection.execute(_SQL["of_assets"], {"asset_ids": list(asset_ids)})
    ).fetchall()
    found: dict[str, list[Annotation]] = {}
    for row in rows:
        annotation = _annotation(row)
        found.setdefault(annotation.asset_id, []).append(annotation)
    return found


async def annotated(connection: Connection, collection: str | None) -> list[str]:
    """The ids of the assets that have annotations, of one collection or of all."""
    cursor = await connection.execute(_SQL["annotated_assets"], {"collection": collection})
    return [str(id_) for (id_,) in await cursor.fetchall()]


async def get(connection: Connection, id_: int) -> Annotation:
    """One annotation. Raises InvalidArgumentError where there is none of that id."""
    row = await (await connection.execute(_SQL["by_id"], {"id": id_})).fetchone()
    if row is None:
        raise InvalidArgumentError(
            f"no annotation {shown(id_)}; view_image with annotated=true lists those of an asset"
        )
    return _annotation(row)


def _annotation(row: tuple[object, ...]) -> Annotation:
    id_, asset_id, label, box, *rest = row
    return Annotation(id_, asset_id, label, tuple(box), *rest)  # type: ignore[arg-type]
