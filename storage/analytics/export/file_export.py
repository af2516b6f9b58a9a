"""Writes an export as CSV, JSON lines, NumPy or Parquet, few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, LiteralString

import numpy as np
from numpy.lib import format as npy
from pgvector import HalfVector, Vector
from psycopg import sql

from sightline.storage.analytics.export.export_source import (
    ExportSource,
    connect_read_only,
    query_source,
    start_snapshot,
    view_source,
)
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import (
    Connection,
    fetch_all,
    fetch_batches,
    fetch_values,
    load_sql,
)
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, MissingExtraError
from sightline.storage.files import replace_private
from sightline.storage.types import Level

if TYPE_CHECKING:
    import pyarrow as pa

ExportFormat = Literal["csv", "jsonl", "npy", "parquet"]

_SQL = load_sql("analytics")
_BATCH_ROWS = 1_024
_SPACE = "embedding_space_id"
_NUMPY_TYPES = {"halfvec": "<f2", "vector": "<f4"}


@dataclass(frozen=True, slots=True)
class _VectorShape:
    rows: int
    dimension: int | None


async def export_view(
    database: Database,
    view: str,
    format_: ExportFormat,
    path: Path,
    *,
    collection: str | None = None,
    level: Level | None = None,
    embedding_space: int | None = None,
) -> int:
    """Write the matching rows of a view to a file; return their number.

    ``csv`` and ``jsonl`` contain vectors as text without loss, ``parquet`` as lists, of fixed
    length if all vectors have the same. ``npy`` is the one column with vectors, of shape (rows,
    dimension), float16 for halfvec; the other columns, except the dimension, are in
    ``PATH.keys.jsonl``. ``path`` is replaced when everything is written. Raises UnknownNameError,
    InvalidArgumentError, and ConfigurationError if the file cannot be written or pyarrow is
    missing.
    """
    async with database.connection() as connection:
        await start_snapshot(connection)
        source = await view_source(
            connection, view, collection=collection, level=level, embedding_space=embedding_space
        )
        return await _Export(connection, source, path).write(format_)


async def export_query(dsn: str, text: str, format_: ExportFormat, path: Path) -> int:
    """Write the rows of a query to a file, as `export_view`; return their number.

    ``dsn`` is that of a login with no rights but to read. Raises InvalidArgumentError or
    NotAllowedError for anything but a query, and StorageError if it fails.
    """
    async with connect_read_only(dsn) as connection:
        await start_snapshot(connection)
        source = await query_source(connection, text)
        return await _Export(connection, source, path).write(format_)


@dataclass(frozen=True, slots=True)
class _Export:
    connection: Connection
    source: ExportSource
    path: Path

    async def write(self, format_: ExportFormat) -> int:
        match format_:
            case "csv":
                return await self.write_csv()
            case "jsonl":
                return await self.write_lines()
            case "npy":
                return await self.write_npy()
            case "parquet":
                return await self.write_parquet()

    async def write_csv(self) -> int:
        async with self.connection.cursor() as cursor:
            with _replace_file(self.path) as file:
                async with cursor.copy(self._compose(_SQL["export_csv"])) as copy:
                    async for data in copy:
                        file.write(data)
            return cursor.rowcount

    async def write_lines(self) -> int:
        count = 0
        query = self._compose(_SQL["export_jsonl"])
        with _replace_file(self.path) as file:
            async for batch in fetch_batches(self.connection, query, rows=_BATCH_ROWS):
                file.writelines(line.encode() + b"\n" for (line,) in batch)
                count += len(batch)
        return count

    async def write_npy(self) -> int:
        vectors = self.source.vectors
        if len(vectors) != 1:
            found = f"{len(vectors)} columns with vectors" if vectors else "no vectors"
            raise InvalidArgumentError(
                f"A npy file contains one column of vectors, and the rows have {found}. "
                "Export the view 'embeddings', or select one such column."
            )
        (vector,) = vectors
        shapes = await self._vector_shapes(vector)
        if len(shapes) != 1 or shapes[0].dimension is None:
            known = await fetch_values(self.connection, _SQL["embedding_spaces"])
            raise InvalidArgumentError(
                "A npy file contains the vectors of one embedding space, and no missing ones. "
                f"Available: {', '.join(known) or 'none yet'}."
            )
        shape = (shapes[0].rows, shapes[0].dimension)
        keys = {
            name: type_
            for name, type_ in self.source.columns.items()
            if name not in (vector, "dimension")
        }
        query = self._compose(
            _SQL["export_vectors"],
            vector=sql.Identifier(vector),
            keys=sql.SQL("json_build_object({})::text").format(
                sql.SQL(", ").join(
                    sql.SQL("{}, {}").format(name, sql.Identifier(name)) for name in keys
                )
            ),
        )
        keys_path = Path(f"{self.path}.keys.jsonl")
        dtype = _NUMPY_TYPES[self.source.columns[vector]]
        with _replace_file(self.path) as file, _replace_file(keys_path) as key_file:
            npy.write_array_header_1_0(
                file, {"descr": dtype, "fortran_order": False, "shape": shape}
            )
            async for batch in fetch_batches(self.connection, query, rows=_BATCH_ROWS):
                for value, key in batch:
                    file.write(np.asarray(value.to_numpy(), dtype=dtype).tobytes())
                    key_file.write(key.encode() + b"\n")
        return shapes[0].rows

    async def write_parquet(self) -> int:
        """Write columns with their types; numeric as float64, unknown types as text."""
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ModuleNotFoundError as error:
            raise MissingExtraError("Parquet files need pyarrow.", "parquet") from error
        types = {
            "boolean": pa.bool_(),
            "smallint": pa.int16(),
            "integer": pa.int32(),
            "bigint": pa.int64(),
            "real": pa.float32(),
            "double precision": pa.float64(),
            "numeric": pa.float64(),
            "text": pa.string(),
            "text[]": pa.list_(pa.string()),
            "date": pa.date32(),
            "timestamp with time zone": pa.timestamp("us", tz="UTC"),
            "timestamp without time zone": pa.timestamp("us"),
        }
        casts = {"numeric": "{}::double precision"}
        fields, expressions = [], []
        for name, type_ in self.source.columns.items():
            arrow = types.get(type_, pa.string())
            if name in self.source.vectors:
                shapes = await self._vector_shapes(name)
                dimensions = {shape.dimension for shape in shapes}
                dimension = (dimensions.pop() if len(dimensions) == 1 else None) or -1
                number = pa.float16() if type_ == "halfvec" else pa.float32()
                arrow = pa.list_(number, dimension)
            elif type_ not in types:
                casts[type_] = "{}::text"
            fields.append((name, arrow))
            expressions.append(sql.SQL(casts.get(type_, "{}")).format(sql.Identifier(name)))
        schema = pa.schema(fields)
        query = self._compose(_SQL["export_parquet"], expressions=sql.SQL(", ").join(expressions))
        count = 0
        with _replace_file(self.path) as file, parquet.ParquetWriter(file, schema) as writer:
            async for batch in fetch_batches(self.connection, query, rows=_BATCH_ROWS):
                arrays = map(_to_array, zip(*batch, strict=True), schema.types)
                writer.write_batch(pa.RecordBatch.from_arrays(list(arrays), schema=schema))
                count += len(batch)
        return count

    async def _vector_shapes(self, vector: str) -> list[_VectorShape]:
        """Return the number of vectors by embedding space and dimension."""
        has_dimension = "dimension" in self.source.columns
        query = self._compose(
            _SQL["export_shapes"],
            dimension=sql.Identifier("dimension")
            if has_dimension
            else sql.SQL("vector_dims({})").format(sql.Identifier(vector)),
            space=sql.Identifier(_SPACE) if _SPACE in self.source.columns else sql.SQL("()"),
        )
        return await fetch_all(self.connection, query, row=_VectorShape)

    def _compose(self, text: LiteralString, **parts: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**parts, rows=self.source.query)


def _to_array(values: Sequence[object], type_: pa.DataType) -> pa.Array:
    import pyarrow as pa

    vectors = [value for value in values if isinstance(value, HalfVector | Vector)]
    if not vectors:
        return pa.array(values, type_)
    number = np.float16 if isinstance(vectors[0], HalfVector) else np.float32
    if len(vectors) < len(values):  # some are missing
        return pa.array(
            [
                value.to_numpy().astype(number) if isinstance(value, HalfVector | Vector) else None
                for value in values
            ],
            pa.list_(type_.value_type),
        ).cast(type_)
    # Copy the bits of vectors; converting each number would be slow.
    rows = [np.asarray(value.to_numpy(), number) for value in vectors]
    flat = pa.array(np.concatenate(rows), type_.value_type)
    if pa.types.is_fixed_size_list(type_):
        return pa.FixedSizeListArray.from_arrays(flat, type=type_)
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, flat, type=type_)


@contextmanager
def _replace_file(path: Path) -> Iterator[BinaryIO]:
    try:
        with replace_private(path) as file:
            yield file
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be written: {error.strerror}") from error
