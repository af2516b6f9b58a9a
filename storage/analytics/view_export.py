"""Exports views as CSV, JSON lines, NumPy or Parquet, few rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, LiteralString

import numpy as np
from numpy.lib import format as npy
from pgvector import HalfVector
from psycopg import sql

from sightline.storage.analytics.sql_runner import ViewSummary
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import (
    Connection,
    fetch_all,
    fetch_batches,
    fetch_values,
    load_sql,
)
from sightline.storage.errors import (
    ConfigurationError,
    InvalidArgumentError,
    MissingExtraError,
    UnknownNameError,
)
from sightline.storage.files import replace_private

if TYPE_CHECKING:
    import pyarrow as pa

ExportFormat = Literal["csv", "jsonl", "npy", "parquet"]

_SQL = load_sql("analytics")
_KEYS = ("collection", "asset_id", "region_id", "passage_id")
_BATCH_ROWS = 1_024


@dataclass(frozen=True, slots=True)
class _VectorShape:
    rows: int
    dimension: int


async def export_view(
    database: Database,
    view: str,
    format_: ExportFormat,
    path: Path,
    *,
    embedding_space: int | None = None,
) -> int:
    """Write a view of the schema ``analytics`` to a file; return the number of rows.

    ``csv`` and ``jsonl`` contain vectors as text without loss, ``parquet`` as lists of float16, of
    fixed length if all vectors have the same. ``npy`` (view ``embeddings`` only) is float16 of
    shape (rows, dimension); the keys of its rows are in ``PATH.keys.jsonl``. ``path`` is replaced
    when everything is written. Raises UnknownNameError, InvalidArgumentError, and
    ConfigurationError if the file cannot be written or pyarrow is missing.
    """
    async with database.connection() as connection:
        await connection.execute(_SQL["export_snapshot"])
        await connection.execute(_SQL["export_settings"])
        views = {
            each.name: each.columns
            for each in await fetch_all(connection, _SQL["views"], row=ViewSummary)
        }
        if view not in views:
            raise UnknownNameError("view", view, views)
        if view != "embeddings" and (format_ == "npy" or embedding_space is not None):
            raise InvalidArgumentError(f"{view!r} contains no vectors. Use 'embeddings'.")
        export = _Export(connection, view, embedding_space, path)
        match format_:
            case "csv":
                return await export.write_csv()
            case "jsonl":
                return await export.write_lines()
            case "npy":
                return await export.write_npy()
            case "parquet":
                return await export.write_parquet(dict(each.split(" ", 1) for each in views[view]))


@dataclass(frozen=True, slots=True)
class _Export:
    connection: Connection
    view: str
    embedding_space: int | None
    path: Path

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
        shapes = await self._vector_shapes()
        if len(shapes) != 1:
            known = await fetch_values(self.connection, _SQL["embedding_spaces"])
            raise InvalidArgumentError(
                "A npy file contains the vectors of one embedding space. Available: "
                f"{', '.join(known) or 'none yet'}."
            )
        shape = (shapes[0].rows, shapes[0].dimension)
        query = self._compose(_SQL["export_vectors"])
        keys_path = Path(f"{self.path}.keys.jsonl")
        with _replace_file(self.path) as file, _replace_file(keys_path) as keys:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(file, header)
            async for batch in fetch_batches(self.connection, query, rows=_BATCH_ROWS):
                for vector, *key in batch:
                    file.write(np.asarray(vector.to_numpy(), dtype="<f2").tobytes())
                    keys.write(json.dumps(dict(zip(_KEYS, key, strict=True))).encode() + b"\n")
        return shapes[0].rows

    async def write_parquet(self, columns: dict[str, str]) -> int:
        """Write columns, given with their Postgres types; other types than these as text."""
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ModuleNotFoundError as error:
            raise MissingExtraError("Parquet files need pyarrow.", "parquet") from error
        shapes = await self._vector_shapes() if self.view == "embeddings" else []
        dimensions = {shape.dimension for shape in shapes}
        dimension = dimensions.pop() if len(dimensions) == 1 else -1
        types = {
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
            "halfvec": pa.list_(pa.float16(), dimension),
        }
        schema = pa.schema(
            [(name, types.get(type_, pa.string())) for name, type_ in columns.items()]
        )
        expressions = sql.SQL(", ").join(
            sql.SQL("{}" if type_ in types else "{}::text").format(sql.Identifier(name))
            for name, type_ in columns.items()
        )
        query = self._compose(_SQL["export_parquet"], expressions=expressions)
        count = 0
        with _replace_file(self.path) as file, parquet.ParquetWriter(file, schema) as writer:
            async for batch in fetch_batches(self.connection, query, rows=_BATCH_ROWS):
                arrays = map(_to_array, zip(*batch, strict=True), schema.types)
                writer.write_batch(pa.RecordBatch.from_arrays(list(arrays), schema=schema))
                count += len(batch)
        return count

    async def _vector_shapes(self) -> list[_VectorShape]:
        query = self._compose(_SQL["export_shapes"])
        return await fetch_all(self.connection, query, row=_VectorShape)

    def _compose(self, text: LiteralString, **parts: sql.Composable) -> sql.Composed:
        condition: sql.Composable = sql.SQL("true")
        if self.embedding_space is not None:
            condition = sql.SQL("embedding_space_id = {}").format(self.embedding_space)
        return sql.SQL(text).format(**parts, view=sql.Identifier(self.view), condition=condition)


def _to_array(values: Sequence[object], type_: pa.DataType) -> pa.Array:
    import pyarrow as pa

    # Copy the bits of vectors; converting each number would be slow.
    halves = [
        np.asarray(value.to_numpy(), np.float16)
        for value in values
        if isinstance(value, HalfVector)
    ]
    if not halves:
        return pa.array(values, type_)
    flat = pa.array(np.concatenate(halves), pa.float16())
    if pa.types.is_fixed_size_list(type_):
        return pa.FixedSizeListArray.from_arrays(flat, type=type_)
    ends = np.cumsum([0, *map(len, halves)], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, flat, type=type_)


@contextmanager
def _replace_file(path: Path) -> Iterator[BinaryIO]:
    try:
        with replace_private(path) as file:
            yield file
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be written: {error.strerror}") from error
