"""The SQL columns that filters compare, and the metadata documents.

The expressions use the table aliases of `storage/sql/retrieval.sql`: ``a`` asset, ``s`` source,
``c`` collection, ``p`` passage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, LiteralString

ColumnType = Literal["text", "number", "moment", "time", "position", "labels"]


@dataclass(frozen=True, slots=True)
class Column:
    """A SQL expression and the type of its values.

    A ``moment`` has an instant (timestamptz) and ``local_sql``, the local time at the place
    (timestamp), for values without an offset. A ``position`` is a text of latitude and longitude in
    degrees, to about a kilometer; comparisons use the columns themselves. ``labels`` are a jsonb
    list.
    """

    sql: LiteralString
    type: ColumnType
    local_sql: LiteralString = ""


@dataclass(frozen=True, slots=True)
class FilterSchema:
    """Columns by filter name, and the jsonb expression of the metadata."""

    columns: Mapping[str, Column]
    metadata: LiteralString


_INSTANT = "coalesce(a.captured_at, a.captured_local AT TIME ZONE 'UTC')"
_LOCAL_TIME = "coalesce(a.captured_local, a.captured_at AT TIME ZONE 'UTC')"

KM_PER_DEGREE = 110.0
"""Of latitude; at least."""
NEAR: LiteralString = (
    "(a.latitude BETWEEN {south} AND {north} AND 2 * 6371.0088 * asin(least(1, sqrt("
    "sin(radians(a.latitude - {latitude}) / 2) ^ 2 + cos(radians({latitude}::float8))"
    " * cos(radians(a.latitude)) * sin(radians(a.longitude - {longitude}) / 2) ^ 2)))"
    " <= {kilometers})"
)
"""The distance along the surface, by the haversine formula, between two parallels."""
_POSITION = "round(a.latitude::numeric, 2) || ', ' || round(a.longitude::numeric, 2)"

_LABELS: LiteralString = (
    "(SELECT jsonb_agg(DISTINCT lower(n.label)) FROM sightline.annotation AS n"
    " WHERE n.asset_id = a.id)"
)

_SHARED: Mapping[str, Column] = {
    "asset": Column("a.id", "text"),
    "source": Column("s.name", "text"),
    "file_name": Column(r"regexp_replace(s.name, '^.*[/\\]', '')", "text"),
    "mime_type": Column("s.mime_type", "text"),
    "collection": Column("c.name", "text"),
    "width": Column("a.width", "number"),
    "height": Column("a.height", "number"),
    "captured_at": Column(_INSTANT, "moment", _LOCAL_TIME),
    "captured_at.month": Column(f"to_char({_LOCAL_TIME}, 'YYYY-MM')", "text"),
    "captured_at.year": Column(f"extract(year FROM {_LOCAL_TIME})::integer", "number"),
    "time_of_day": Column(f"({_LOCAL_TIME})::time", "time"),
    "gps": Column(_POSITION, "position"),
    "caption": Column("a.caption", "text"),
    "objects": Column(_LABELS, "labels"),
}

ASSETS = FilterSchema(
    columns={
        **_SHARED,
        "kind": Column("a.kind", "text"),
        "page": Column("a.page", "number"),
        "seconds": Column("a.frame_seconds", "number"),
    },
    metadata="a.metadata",
)

PASSAGES = FilterSchema(
    columns={
        **_SHARED,
        "kind": Column("p.kind", "text"),
        "page": Column("coalesce(p.page, a.page)", "number"),
        "seconds": Column("coalesce(p.start_seconds, a.frame_seconds)", "number"),
        "asset_kind": Column("a.kind", "text"),
        "text": Column("p.text", "text"),
        "language": Column("p.language", "text"),
        "confidence": Column("p.confidence", "number"),
    },
    # A passage without an asset uses the metadata of its source.
    metadata="coalesce(a.metadata, s.metadata)",
)
