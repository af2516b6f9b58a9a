"""``sightline bind``: who sees what, and what becomes of those who are not named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sightline.server.cli import main
from sightline.storage.db import tenancy
from sightline.storage.db.pool import Database
from sightline.storage.records import collections

Bind = Callable[..., tuple[int, str, str]]


async def _with_album(dsn: str) -> None:
    database = await Database.open(dsn)
    async with database.connection() as connection:
        await collections.create(connection, "album")
    await database.close()


async def _seen(dsn: str, *names: str) -> list[bool]:
    database = await Database.open(dsn)
    async with database.connection() as connection:
        seen = [await tenancy.sees_everything(connection, name) for name in names]
    await database.close()
    return seen


@pytest.fixture
def bind(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Bind:
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", database_dsn)
    asyncio.run(_with_album(database_dsn))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["bind", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_first_binding_closes_the_door_to_all_who_are_not_bound(
    bind: Bind, database_dsn: str
) -> None:
    assert bind() == (0, "all others: everything, until somebody is bound\n", "")
    assert asyncio.run(_seen(database_dsn, "ann", "ben")) == [True, True]
    said = bind("ann", "--collections", "album")
    assert said == (0, "ann: album\nall others: nothing\n", "")
    assert asyncio.run(_seen(database_dsn, "ann", "ben")) == [False, False]
    assert bind("boss", "--everything")[1].splitlines()[1] == "boss: everything"
    assert bind("ann", "--nothing")[1].splitlines()[0] == "ann: nothing"
    assert asyncio.run(_seen(database_dsn, "ann", "ben", "boss")) == [False, False, True]


def test_all_who_are_not_bound_by_name_can_be_bound_together(bind: Bind, database_dsn: str) -> None:
    bind("ann", "--nothing")
    said = bind("*", "--everything")
    assert said == (0, "ann: nothing\nall others: everything\n", "")
    assert asyncio.run(_seen(database_dsn, "ann", "ben")) == [False, True]
    bind("*", "--nothing")
    assert bind("ann", "--release")[1] == "all others: nothing\n"
    assert asyncio.run(_seen(database_dsn, "ann", "ben")) == [False, False]


def test_what_cannot_be_is_refused_with_what_there_is(bind: Bind) -> None:
    assert "no collection 'albun'; there are: 'album'" in bind("ann", "--collections", "albun")[2]
    assert "no binding of 'ann'; there are: none yet" in bind("ann", "--release")[2]
    for half in (("ann",), ("--everything",)):
        code, _, said = bind(*half)
        assert code == 2
        assert "give a principal with --collections" in said
