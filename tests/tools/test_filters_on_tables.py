"""Filters by the typed columns of a metadata table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.sample_images import fill
from tests.tools.toolbox import ToolEnvironment

TABLE = """\
file_name,price,sold,added,code
0000.jpg,2.50,yes,2024-05-01,007
0001.jpg,5,no,2024-06-15,012
0002.jpg,120,no,2024-07-31,120
0003.jpg,,yes,,5
"""


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"price": {"lte": 5}}, {"0000.jpg", "0001.jpg"}),
        ({"price": 5}, {"0001.jpg"}),
        ({"price": {"between": [3, 200]}}, {"0001.jpg", "0002.jpg"}),
        ({"price": {"is_empty": True}}, {"0003.jpg"}),
        ({"sold": True}, {"0000.jpg", "0003.jpg"}),
        ({"added": {"between": ["2024-05-02", "2024-07-01"]}}, {"0001.jpg"}),
        ({"code": "007"}, {"0000.jpg"}),
    ],
)
async def test_a_filter_finds_the_rows_by_type(
    empty_environment: ToolEnvironment, tmp_path: Path, filters: dict[str, Any], wanted: set[str]
) -> None:
    fill(tmp_path, 4)
    (tmp_path / "metadata.csv").write_text(TABLE)
    async with empty_environment.replace(roots=(tmp_path,)).serve() as tools:
        await tools.call("add_images", collection="lots", paths=[str(tmp_path)])
        found = await tools.call("search_images", query="x", filters=filters)
    assert {Path(hit["source"]).name for hit in found["hits"]} == wanted
