"""A name of millions of combining marks is refused at once.

Python sorts a run of marks in quadratic time and holds the GIL: with these names the server would
stand still for hours, and the test would hit its time limit.
"""

from __future__ import annotations

import pytest

from sightline.storage.db import row_security
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import collections
from tests.security.two_principals import ALICE, House, call, read

MARKS = ["\u0315\u0300\u0327\u0334", "\u0f73"]
CHARS = 1_000_000


def hostile(marks: str) -> str:
    return "a" + marks * (CHARS // len(marks))


@pytest.mark.parametrize("marks", MARKS, ids=ascii)
async def test_a_hostile_name_of_a_collection_is_refused(house: House, marks: str) -> None:
    name = hostile(marks)
    async with house.client("alice", mode="legacy") as alice:
        added = await call(alice, "add_images", collection=name, paths=[str(house.folder / ALICE)])
        assert "at most 200" in added
        searched = await call(alice, "search_images", query="x", collection=name)
        assert "at most 200" in searched
        assert "at most 65,536 bytes" in await read(alice, f"sightline://collection/{name}")
        short = await read(alice, f"sightline://collection/{name[:5_000]}")
        assert "Unknown collection" in short


@pytest.mark.parametrize("marks", MARKS, ids=ascii)
def test_no_way_to_a_collection_normalizes_a_hostile_name(house: House, marks: str) -> None:
    name = hostile(marks)

    async def check() -> None:
        with pytest.raises(InvalidArgumentError, match="cannot name a collection"):
            collections.validate_name(name)
        database = await house.runtime.database.get()
        async with database.connection() as connection:
            with pytest.raises(UnknownNameError):
                await collections.get(connection, name)
            await collections.list_page(connection, after=name, limit=1)
            with pytest.raises(UnknownNameError):
                await row_security.bind(connection, "carol", [name])

    house.run(check)
