"""Counts of a selection, in total and by key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.isolation.caller import as_principal
from sightline.storage.retrieval import ImageSearch
from sightline.storage.retrieval.counting import SelectionCount, count_selected
from sightline.storage.retrieval.search_types import ImageRequest, Selection
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALBUM = Selection(collections=("album",))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(module_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    departments = ["Fruit", "Fruit", "fruit", "Bakery", None]
    for number, department in enumerate(departments):
        await corpus.add(
            f"card{number}",
            caption=f"card {number}",
            metadata={
                "department": department,
                "price": 5 if number < 3 else 7.5,
                "tags": ["a", "a", "b"] if number == 0 else ["b"] if number == 1 else [],
                "camera": {"100%": "Leica"},
                "kind": "card",
            },
            captured_at=datetime(2023 + number % 2, 1 + number, 3, 9, 30, tzinfo=UTC),
        )
    await corpus.add("page", kind="page", page=4, lines=[("line", (0.1, 0.1, 0.5, 0.2))])
    await corpus.add("secret", collection="secret", metadata={"department": "Weapons", "code": 7})
    async with database.connection() as connection:
        await row_security.bind(connection, "bound", ["album"])
    yield database
    await database.close()


def listed(counted: SelectionCount) -> list[tuple[object, int]]:
    return [(each.value, each.count) for each in counted.values]


async def test_the_matches_of_a_selection_are_counted(shop: Database) -> None:
    assert (await count_selected(shop, Selection())).total == 7
    assert (await count_selected(shop, ALBUM)).total == 6
    fruit = Selection(filters={"department": "Fruit"}, captured_before="2024-01-01")
    assert (await count_selected(shop, fruit)).total == 1
    assert (await count_selected(shop, ALBUM, level="passage")).total == 6
    ocr = Selection(kinds=("ocr",))
    assert await count_selected(shop, ocr, level="passage") == SelectionCount(total=1)


@pytest.mark.parametrize(
    ("by", "values", "without"),
    [
        ("department", [("Fruit", 2), ("Bakery", 1), ("fruit", 1)], 2),
        ("price", [(5, 3), (7.5, 2)], 1),
        ("tags", [("b", 2), ("a", 1)], 4),
        ("camera.100%", [("Leica", 5)], 1),
        ("metadata.kind", [("card", 5)], 1),
        ("kind", [("image", 5), ("page", 1)], 0),
        ("page", [(4, 1)], 5),
        ("collection", [("album", 6)], 0),
        ("captured_at.year", [(2023, 3), (2024, 2)], 1),
        ("captured_at.month", [(f"{2023 + n % 2}-0{1 + n}", 1) for n in (0, 2, 4, 1, 3)], 1),
        ("captured_at", [(f"{2023 + n % 2}-0{1 + n}-03", 1) for n in (0, 2, 4, 1, 3)], 1),
        ("time_of_day", [("09:00", 5)], 1),
    ],
)
async def test_the_values_of_a_key_are_counted_most_frequent_first(
    shop: Database, by: str, values: list[tuple[object, int]], without: int
) -> None:
    counted = await count_selected(shop, ALBUM, by=by)
    assert listed(counted) == values
    assert (counted.total, counted.without_value, counted.other_values) == (6, without, 0)


async def test_a_long_value_of_any_type_is_cut_once(shop: Database) -> None:
    corpus = Corpus(shop, ColorHistogramEncoder())
    values = ["x" * 201, {"a": "y" * 300}, [["z" * 300]], {"b": 1}]
    for number, value in enumerate(values):
        await corpus.add(f"long{number}", collection="long", metadata={"note": value})
    long = Selection(collections=("long",))
    counted = await count_selected(shop, long, by="note")
    found = sorted(map(str, (each.value for each in counted.values)))
    assert found == sorted(
        [
            "x" * 200 + "… (1 more characters)",
            f'{{"a": "{"y" * 193}… (109 more characters)',
            f'["{"z" * 198}… (104 more characters)',
            "{'b': 1}",
        ]
    )
    assert counted.other_values == 0
    await corpus.add("c" * 250, collection="long")
    names = [each.value for each in (await count_selected(shop, long, by="source")).values]
    assert "c" * 200 + "… (50 more characters)" in names


async def test_a_count_of_zero_explains_the_filter(shop: Database) -> None:
    selection = Selection(collections=("album",), filters={"department": "Frut"})
    counted = await count_selected(shop, selection)
    assert counted.notes == ("No image matches 'department' = 'Frut'. Close values: 'Fruit'.",)


@pytest.mark.parametrize(
    ("filters", "total"),
    [
        ({"captured_at.month": "2024-02"}, 1),
        ({"captured_at.month": ["2023-01", "2024-02"]}, 2),
        ({"captured_at.month": {"gte": "2023-05"}}, 3),
        ({"captured_at.year": 2023}, 3),
        ({"captured_at.year": "2023"}, 3),
        ({"captured_at.year": {"between": [2024, 2025]}}, 2),
        ({"captured_at.year": {"is_empty": True}}, 1),
    ],
)
async def test_the_counted_months_and_years_filter_as_well(
    shop: Database, filters: dict[str, object], total: int
) -> None:
    selection = Selection(collections=("album",), filters=filters)
    assert (await count_selected(shop, selection)).total == total


async def test_the_values_that_are_left_out_are_counted(shop: Database) -> None:
    counted = await count_selected(shop, ALBUM, by="source", limit=2)
    assert listed(counted) == [("card0", 1), ("card1", 1)]
    assert counted.other_values == 4
    passages = await count_selected(shop, ALBUM, level="passage", by="kind")
    assert listed(passages) == [("caption", 5), ("ocr", 1)]


async def test_a_filter_restricts_the_counted_values(shop: Database) -> None:
    selection = Selection(filters={"or": [{"price": 5}, {"kind": "page"}]})
    counted = await count_selected(shop, selection, by="department")
    assert listed(counted) == [("Fruit", 2), ("fruit", 1)]
    assert (counted.total, counted.without_value) == (4, 1)


@pytest.mark.parametrize(
    ("by", "limit", "message"),
    [
        ("colour", 5, r"Unknown key 'colour'\. Available: .*'department'"),
        ("captured_at.week", 5, "'captured_at.month', 'captured_at.year'"),
        ("kind", 0, "limit is 0. Use 1 to 200"),
        ("", 5, "A key is a short text"),
        ("a\x00", 5, "A key is a short text"),
    ],
)
async def test_an_invalid_count_is_refused(
    shop: Database, by: str, limit: int, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        await count_selected(shop, ALBUM, by=by, limit=limit)


async def test_a_bound_principal_counts_only_its_collections(shop: Database) -> None:
    with as_principal("bound"):
        counted = await count_selected(shop, Selection(), by="department")
        assert counted.total == 6
        assert ("Weapons", 1) not in listed(counted)
        assert listed(await count_selected(shop, Selection(), by="collection")) == [("album", 6)]
        with pytest.raises(UnknownNameError, match="Unknown collection 'secret'"):
            await count_selected(shop, Selection(collections=("secret",)))
        with pytest.raises(UnknownNameError, match="Unknown key 'code'"):
            await count_selected(shop, Selection(), by="code")
    assert ("Weapons", 1) in listed(await count_selected(shop, Selection(), by="department"))


async def test_a_bound_principal_learns_no_close_values_of_others(shop: Database) -> None:
    encoder = ColorHistogramEncoder()
    images = ImageSearch(shop, encoder, encoder, signing_key=b"k")
    request = ImageRequest(selection=Selection(filters={"department": "weapons"}))
    with as_principal("bound"):
        (note,) = (await images.search(request)).report.notes
    assert "Weapons" not in note
    (note,) = (await images.search(request)).report.notes
    assert "Close values: 'Weapons'" in note
