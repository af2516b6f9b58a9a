"""Views written to files, vectors whole, few rows in memory: CSV, JSON lines, NumPy or Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, LiteralString

import numpy as np
from numpy.lib import format as npy
from psycopg import sql
from psycopg.rows import TupleRow

from sightline.storage.analytics import parquet_writer
from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection, Database
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, UnknownNameError

Format = Literal["csv", "jsonl", "npy", "parquet"]

#: Beside a file of vectors: what each of its rows stands for.
KEYS_SUFFIX = ".keys.jsonl"

_SQL = sql_loader.load("analytics")


async def export(
    database: Database, view: str, format_: Format, path: Path, *, space: int | None = None
) -> int:
    """Write a view of the schema ``analytics``; the number of rows.

    ``csv`` and ``jsonl`` hold vectors as text that reads back to the same bits, ``parquet`` as
    lists of float16. ``npy`` is of the view ``embeddings`` alone: float16 of shape (rows,
    dimension), with the keys of its rows in ``PATH.keys.jsonl``. ``path`` is replaced once all is
    written. Raises UnknownNameError, InvalidArgumentError, and ConfigurationError where the file
    cannot be written or pyarrow is missing.
    """
    async with database.connection() as connection:
        # One snapshot, whatever is written meanwhile, and no limit on the time.
        await connection.execute(_SQL["export_snapshot"])
        await connection.execute(_SQL["export_settings"])
        views = {
            row[0]: row[2] for row in await (await connection.execute(_SQL["views"])).fetchall()
        }
        if view not in views:
            raise UnknownNameError("view", view, views)
        if view != "embeddings" and (format_ == "npy" or space is not None):
            raise InvalidArgumentError(f"{view!r} holds no vectors; 'embeddings' does")
        match format_:
            case "npy":
                return await _vectors(connection, path, space)
            case "parquet":
                columns = dict(column.split(" ", 1) for column in views[view])
                return await _parquet(connection, path, view, columns, space)
            case "jsonl":
                with _replacing(path) as file:
                    query = _compose(_SQL["export_jsonl"], view, space)
                    return await _lines(connection, query, file)
            case "csv":
                with _replacing(path) as file:
                    return await _csv(connection, _compose(_SQL["export_csv"], view, space), file)


async def _csv(connection: Connection, query: sql.Composed, file: BinaryIO) -> int:
    async with connection.cursor() as cursor:
        async with cursor.copy(query) as copy:
            async for data in copy:
                file.write(data)
        return cursor.rowcount


async def _lines(connection: Connection, query: sql.Composed, file: BinaryIO) -> int:
    rows = 0
    async with connection.cursor() as cursor:
        async for (line,) in cursor.stream(query):
            file.write(line.encode() + b"\n")
            rows += 1
    return rows


async def _parquet(
    connection: Connection, path: Path, view: str, columns: Mapping[str, str], space: int | None
) -> int:
    shapes = await _shapes(connection, space) if view == "embeddings" else []
    dimensions = {dimension for _, dimension in shapes}
    query = _compose(
        _SQL["export_parquet"], view, space, expressions=parquet_writer.expressions(columns)
    )
    with _replacing(path) as file:
        one = dimensions.pop() if len(dimensions) == 1 else None
        return await parquet_writer.write(connection, file, query, columns, one)


async def _shapes(connection: Connection, space: int | None) -> list[TupleRow]:
    """Rows and dimension of each space that is meant."""
    query = _compose(_SQL["export_shapes"], "embeddings", space)
    return await (await connection.execute(query)).fetchall()


async def _vectors(connection: Connection, path: Path, space: int | None) -> int:
    shapes = await _shapes(connection, space)
    if len(shapes) != 1:
        known = await (await connection.execute(_SQL["space_ids"])).fetchall()
        listed = ", ".join(f"{row[0]} ({row[1]} of {row[2]})" for row in known) or "none yet"
        raise InvalidArgumentError(f"npy holds the vectors of one space; there are: {listed}")
    ((rows, dimension),) = shapes
    query = _compose(_SQL["export_vectors"], "embeddings", space)
    with _replacing(path) as file, _replacing(Path(f"{path}{KEYS_SUFFIX}")) as keys:
        header = {"descr": "<f2", "fortran_order": False, "shape": (rows, dimension)}
        npy.write_array_header_1_0(file, header)
        async with connection.cursor() as found:
            async for vector, *key in found.stream(query, binary=True):
                file.write(np.asarray(vector.to_numpy(), dtype="<f2").tobytes())
                names = ("collection", "asset_id", "region_id", "passage_id")
                keys.write(json.dumps(dict(zip(names, key, strict=True))).encode() + b"\n")
    return int(rows)


def _compose(
    text: LiteralString, view: str, space: int | None, **parts: sql.Composable
) -> sql.Composed:
    return sql.SQL(text).format(
        **parts,
        view=sql.Identifier(view),
        condition=sql.SQL("true")
        if space is None
        else sql.SQL("embedding_space_id = {}").format(sql.Literal(space)),
    )


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when the block ends well."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
