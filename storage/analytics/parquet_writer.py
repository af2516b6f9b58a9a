"""Writes a view as a Parquet file, with vectors as float16 and few rows in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from pgvector import HalfVector
from psycopg import sql

from sightline.storage.db.queries import Connection
from sightline.storage.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 4_096
_VECTOR = "halfvec"


def select_list(columns: Mapping[str, str]) -> sql.Composed:
    """Return the SELECT list for columns with their Postgres types.

    Types that Parquet does not have, such as jsonb, are selected as text.
    """
    known = {*_types(), _VECTOR}
    return sql.SQL(", ").join(
        sql.Identifier(name)
        if type_ in known
        else sql.SQL("{0}::text").format(sql.Identifier(name))
        for name, type_ in columns.items()
    )


async def write(
    connection: Connection,
    file: BinaryIO,
    query: sql.Composed,
    columns: Mapping[str, str],
    dimension: int | None,
) -> int:
    """Write the rows of a query with ``select_list``; return their number.

    Vectors are lists of float16, of fixed length if ``dimension`` is given.
    """
    from pyarrow import parquet

    schema = _schema(columns, dimension)
    written = 0
    with parquet.ParquetWriter(file, schema) as writer:
        batch: list[Sequence[object]] = []
        async with connection.cursor() as cursor:
            async for row in cursor.stream(query, binary=True):
                batch.append(row)
                if len(batch) == _BATCH_ROWS:
                    writer.write_batch(_record_batch(schema, batch))
                    written += len(batch)
                    batch.clear()
        if batch:
            writer.write_batch(_record_batch(schema, batch))
    return written + len(batch)


def _types() -> Mapping[str, pa.DataType]:
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "Parquet files need pyarrow. Run: pip install 'sightline[parquet]'"
        ) from error
    return {
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "text": pa.string(),
        "text[]": pa.list_(pa.string()),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
        "timestamp without time zone": pa.timestamp("us"),
    }


def _schema(columns: Mapping[str, str], dimension: int | None) -> pa.Schema:
    import pyarrow as pa

    types = _types()
    vector = pa.list_(pa.float16(), dimension or -1)
    return pa.schema(
        [
            (name, vector if type_ == _VECTOR else types.get(type_, pa.string()))
            for name, type_ in columns.items()
        ]
    )


def _record_batch(schema: pa.Schema, rows: Sequence[Sequence[object]]) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = []
    for field, values in zip(schema, zip(*rows, strict=True), strict=True):
        if isinstance(values[0], HalfVector):
            arrays.append(_vectors(field.type, values))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _vectors(type_: pa.DataType, values: Sequence[HalfVector]) -> pa.Array:
    # Copy the bits; converting each number would be slow.
    import pyarrow as pa

    halves = [np.asarray(value.to_numpy(), dtype=np.float16) for value in values]
    flat = pa.array(np.concatenate(halves), pa.float16())
    if pa.types.is_fixed_size_list(type_):
        return pa.FixedSizeListArray.from_arrays(flat, type=type_)
    ends = np.cumsum([0, *map(len, halves)], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, flat, type=type_)
