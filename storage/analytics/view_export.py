"""Exports views as CSV, JSON lines, NumPy or Parquet, few rows at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, LiteralString

import numpy as np
from numpy.lib import format as npy
from psycopg import sql

from sightline.storage.analytics import parquet_writer
from sightline.storage.analytics.sql_runner import ViewSummary
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, fetch_values, load_sql
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, UnknownNameError

ExportFormat = Literal["csv", "jsonl", "npy", "parquet"]

#: Suffix of the file with the keys of each row of a vector file.
KEYS_SUFFIX = ".keys.jsonl"
_KEYS = ("collection", "asset_id", "region_id", "passage_id")

_SQL = load_sql("analytics")


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

    ``csv`` and ``jsonl`` contain vectors as text without loss, ``parquet`` as lists of float16.
    ``npy`` (view ``embeddings`` only) is float16 of shape (rows, dimension); the keys of its rows
    are in ``PATH.keys.jsonl``. ``path`` is replaced when everything is written. Raises
    UnknownNameError, InvalidArgumentError, and ConfigurationError if the file cannot be written
    or pyarrow is missing.
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
        match format_:
            case "npy":
                return await _write_npy(connection, path, embedding_space)
            case "parquet":
                columns = dict(column.split(" ", 1) for column in views[view])
                return await _write_parquet(connection, path, view, columns, embedding_space)
            case "jsonl":
                with _replace_file(path) as file:
                    query = _compose(_SQL["export_jsonl"], view, embedding_space)
                    return await _write_lines(connection, query, file)
            case "csv":
                with _replace_file(path) as file:
                    query = _compose(_SQL["export_csv"], view, embedding_space)
                    return await _write_csv(connection, query, file)


async def _write_csv(connection: Connection, query: sql.Composed, file: BinaryIO) -> int:
    async with connection.cursor() as cursor:
        async with cursor.copy(query) as copy:
            async for data in copy:
                file.write(data)
        return cursor.rowcount


async def _write_lines(connection: Connection, query: sql.Composed, file: BinaryIO) -> int:
    rows = 0
    async with connection.cursor() as cursor:
        async for (line,) in cursor.stream(query):
            file.write(line.encode() + b"\n")
            rows += 1
    return rows


async def _write_parquet(
    connection: Connection,
    path: Path,
    view: str,
    columns: dict[str, str],
    embedding_space: int | None,
) -> int:
    shapes = await _vector_shapes(connection, embedding_space) if view == "embeddings" else []
    dimensions = {shape.dimension for shape in shapes}
    select_list = parquet_writer.select_list(columns)
    query = _compose(_SQL["export_parquet"], view, embedding_space, expressions=select_list)
    with _replace_file(path) as file:
        dimension = dimensions.pop() if len(dimensions) == 1 else None
        return await parquet_writer.write(connection, file, query, columns, dimension)


async def _write_npy(connection: Connection, path: Path, embedding_space: int | None) -> int:
    shapes = await _vector_shapes(connection, embedding_space)
    if len(shapes) != 1:
        known = await fetch_values(connection, _SQL["embedding_spaces"])
        raise InvalidArgumentError(
            "A npy file contains the vectors of one embedding space. Available: "
            f"{', '.join(known) or 'none yet'}."
        )
    (shape,) = shapes
    query = _compose(_SQL["export_vectors"], "embeddings", embedding_space)
    with _replace_file(path) as file, _replace_file(Path(f"{path}{KEYS_SUFFIX}")) as keys:
        header = {"descr": "<f2", "fortran_order": False, "shape": (shape.rows, shape.dimension)}
        npy.write_array_header_1_0(file, header)
        async with connection.cursor() as cursor:
            async for vector, *key in cursor.stream(query, binary=True):
                file.write(np.asarray(vector.to_numpy(), dtype="<f2").tobytes())
                keys.write(json.dumps(dict(zip(_KEYS, key, strict=True))).encode() + b"\n")
    return shape.rows


async def _vector_shapes(connection: Connection, embedding_space: int | None) -> list[_VectorShape]:
    query = _compose(_SQL["export_shapes"], "embeddings", embedding_space)
    return await fetch_all(connection, query, row=_VectorShape)


def _compose(
    text: LiteralString, view: str, embedding_space: int | None, **parts: sql.Composable
) -> sql.Composed:
    condition: sql.Composable = sql.SQL("true")
    if embedding_space is not None:
        condition = sql.SQL("embedding_space_id = {}").format(sql.Literal(embedding_space))
    return sql.SQL(text).format(**parts, view=sql.Identifier(view), condition=condition)


@contextmanager
def _replace_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` if the block succeeds."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
