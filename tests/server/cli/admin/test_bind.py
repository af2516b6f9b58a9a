"""Tests of ``sightline bind``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sightline.server.cli import main
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.records import collections

Bind = Callable[..., tuple[int, str, str]]


async def _with_album(dsn: str) -> None:
    database = await Database.open(dsn)
    async with database.connection() as connection:
        await collections.ensure(connection, "album")
    await database.close()


async def _seen(dsn: str, *names: str) -> list[bool]:
    database = await Database.open(dsn)
    async with database.connection() as connection:
        seen = [await row_security.sees_all_collections(connection, name) for name in names]
    await database.close()
    return seen


@pytest.fixture
def bind(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Bind:
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", database_dsn)
    asyncio.run(_with_album(database_dsn))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["bind", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_after_the_first_binding_unbound_principals_see_nothing(
    bind: Bind, database_dsn: str
) -> None:
    assert bind() == (0, "all others: everything, until the first principal is bound\n", "")
    assert asyncio.run(_seen(database_dsn, "ann", "ben")) == [True, True]
    output = bind("ann", "--collections", "album")
    assert output == (0, "ann: album\nall others: nothing\n", "")
    assert asyncio.run(_seen(database_dsn, "ann", "ben")) == [False, False]
    assert bind("boss", "--everything")[1].splitlines()[1] == "boss: everything"
    assert bind("ann", "--nothing")[1].splitlines()[0] == "ann: nothing"
    assert asyncio.run(_seen(database_dsn, "ann", "ben", "boss")) == [False, False, True]


def test_all_unbound_principals_can_be_bound_together(bind: Bind, database_dsn: str) -> None:
    bind("ann", "--nothing")
    output = bind("*", "--everything")
    assert output == (0, "ann: nothing\nall others: everything\n", "")
    assert asyncio.run(_seen(database_dsn, "ann", "ben")) == [False, True]
    bind("*", "--nothing")
    assert bind("ann", "--release")[1] == "all others: nothing\n"
    assert asyncio.run(_seen(database_dsn, "ann", "ben")) == [False, False]


def test_invalid_arguments_are_rejected_with_the_valid_options(bind: Bind) -> None:
    assert (
        "Unknown collection 'albun'. Available: 'album'" in bind("ann", "--collections", "albun")[2]
    )
    assert "Unknown binding of 'ann'. Available: none yet" in bind("ann", "--release")[2]
    for incomplete in (("ann",), ("--everything",)):
        code, _, error = bind(*incomplete)
        assert code == 2
        assert "Give a principal with --collections" in error
