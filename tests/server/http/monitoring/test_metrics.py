"""Tests of what a scrape of a real server contains."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sightline.server.auth.static_tokens import issue_token
from sightline.server.http.http_server import RunningServer, start_http_server
from sightline.server.lazy_resource import LazyResource
from sightline.server.observability.library_metrics import LibraryMetrics
from sightline.server.observability.metrics import Metrics
from sightline.storage.db.pool import Database
from sightline.storage.maintenance.library_counts import LibraryCounts, count_library
from sightline.storage.records import collections
from sightline.storage.retrieval.retrieval_log import LoggedSearch
from tests.support.database_rows import add_asset
from tests.support.mcp_messages import ACCEPT, calling
from tests.support.settings import NO_DATABASE, make_settings

ROOT = Path(__file__).parents[4]
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
    "gauge": ("",),
}


def samples(text: str) -> dict[str, float]:
    """Return the value of each time series; the key is ``name{label=value,...}``."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def names(text: str) -> set[str]:
    """Return the names of all time series, also of those without a sample yet."""
    return {
        f"{family.name}{suffix}"
        for family in text_string_to_metric_families(text)
        for suffix in _SUFFIXES[family.type]
    }


async def scrape(base_url: str, token: str | None = None) -> httpx2.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(timeout=60) as http:
        return await http.get(f"{base_url}/metrics", headers=headers)


def database_of(running: RunningServer) -> LazyResource[Database]:
    assert running.app.runtime is not None
    return running.app.runtime.database


async def fill_collection(database: Database, *asset_ids: str) -> None:
    async with database.write_connection() as connection:
        album = await collections.ensure(connection, "album")
        for asset_id in asset_ids:
            await add_asset(connection, album, asset_id)


async def test_a_scrape_tells_the_state_of_process_database_and_collections(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    await fill_collection(database, "a" * 12, "b" * 12)
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "INSERT INTO sightline.source (collection_id, content_key, name, location, kind, "
            "state, error) SELECT id, sha256('x'), 'x', 'file:/x', 'image', 'failed', 'broken' "
            "FROM sightline.collection"
        )
    async with start_http_server(make_settings(tmp_path, database__url=database_dsn)) as (url, on):
        async with httpx2.AsyncClient(timeout=60) as http:
            headers, message = calling("search_text", query="x", wrong=1)
            await http.post(url, headers={**ACCEPT, **headers}, json=message)
            await http.get(url.replace("/mcp", "/nothing"))
        await database_of(on).get()
        found = samples((await scrape(url.removesuffix("/mcp"))).text)
    assert found["sightline_ready{}"] == 0  # no encoder
    assert found["sightline_resource_ready{of=database}"] == 1
    assert found["sightline_resource_ready{of=encoder}"] == 0
    assert found["sightline_collections{}"] == 1
    assert found["sightline_assets{collection=album}"] == 2
    assert found["sightline_passages{collection=album}"] == 0
    assert found["sightline_failed_sources{collection=album}"] == 1
    assert found["sightline_database_bytes{}"] > 1_000_000
    assert found["sightline_http_responses_total{method=POST,route=/mcp,status=200}"] == 1
    assert found["sightline_http_responses_total{method=GET,route=other,status=404}"] == 1
    for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds"):
        assert found[f"process_{name}{{}}"] > 0
    (build,) = [name for name in found if name.startswith("sightline_build_info")]
    assert "version=" in build


async def test_metrics_are_served_while_the_database_is_down(tmp_path: Path) -> None:
    async with start_http_server(make_settings(tmp_path, database__url=NO_DATABASE)) as (url, _):
        response = await scrape(url.removesuffix("/mcp"))
    assert response.status_code == 200
    found = samples(response.text)
    assert found["sightline_resource_ready{of=database}"] == 0
    assert not [name for name in found if name.startswith("sightline_assets")]


async def test_a_library_that_is_not_counted_in_time_is_not_a_database_that_is_down(
    tmp_path: Path, database_dsn: str
) -> None:
    settings = make_settings(tmp_path, database__url=database_dsn)
    async with start_http_server(settings) as (url, on):
        async with httpx2.AsyncClient(timeout=60) as http:
            await http.get(url.replace("/mcp", "/healthz"))  # waits for the start
        await database_of(on).get()
        with psycopg.connect(database_dsn) as connection:
            connection.execute("LOCK sightline.passage")
            found = samples((await scrape(url.removesuffix("/mcp"))).text)
    assert found["sightline_resource_ready{of=database}"] == 1
    assert not [name for name in found if name.startswith("sightline_assets")]


async def test_a_scrape_token_reads_metrics_and_nothing_else(
    tmp_path: Path, database_dsn: str
) -> None:
    (scraper, one), (reader, two) = issue_token("prom", ["metrics"]), issue_token("ann", ["read"])
    settings = make_settings(tmp_path, database__url=database_dsn, tokens=f"{one}\n{two}")
    async with start_http_server(settings) as (url, _):
        base_url = url.removesuffix("/mcp")
        assert (await scrape(base_url)).status_code == 401
        assert (await scrape(base_url, scraper)).status_code == 200
        refused = await scrape(base_url, reader)
        assert refused.status_code == 403
        assert "needs a token with scope 'metrics'; 'ann' has 'read'" in refused.text
        headers, message = calling("list_collections")
        headers |= {"Authorization": f"Bearer {scraper}", **ACCEPT}
        async with httpx2.AsyncClient(timeout=60) as http:
            answer = await http.post(url, headers=headers, json=message)
        assert "needs a token with scope 'read'" in answer.text
        found = samples((await scrape(base_url, scraper)).text)
    assert found["sightline_http_responses_total{method=GET,route=/metrics,status=401}"] == 1
    assert found["sightline_http_responses_total{method=GET,route=/metrics,status=403}"] == 1


async def test_the_smaller_collections_share_one_time_series(database: Database) -> None:
    async with database.write_connection() as connection:
        for name, assets in (("one", 1), ("three", 3), ("two", 2)):
            collection = await collections.ensure(connection, name)
            for number in range(assets):
                await add_asset(connection, collection, f"{name:a<11}{number}")
    counts = await count_library(database, most=1)
    assert [(each.name, each.assets, each.collections) for each in counts.collections] == [
        ("three", 3, 1),
        (None, 3, 2),
    ]


def test_searches_are_counted_by_what_they_found() -> None:
    metrics = Metrics()
    hits: list[dict[str, object]] = [{"asset": "a", "score": 1}, {"asset": "b", "weak": True}]
    for results in (hits, hits[1:], []):
        metrics.search(
            LoggedSearch(
                principal=None,
                tool="search_images",
                collections=None,
                query="x",
                arguments={},
                timings_ms={"encode": 250, "total": 1500},
                results=results,
            )
        )
    found = samples(metrics.exposition().decode())
    for result in ("found", "weak", "empty"):
        assert found[f"sightline_searches_total{{result={result},tool=search_images}}"] == 1
    assert found["sightline_search_hits_total{tool=search_images}"] == 3
    assert found["sightline_search_seconds_sum{tool=search_images}"] == 4.5
    assert found["sightline_search_stage_seconds_sum{stage=encode}"] == 0.75


class Counting:
    """Counts of a library; the number of calls is the size of the database."""

    def __init__(self) -> None:
        self.calls, self.now, self.go = 0, 100.0, asyncio.Event()

    async def load(self) -> LibraryCounts:
        self.calls += 1
        await self.go.wait()
        return LibraryCounts([], {}, self.calls)


async def test_only_the_first_scrape_waits_for_the_counts() -> None:
    library, registry = Counting(), CollectorRegistry()
    metrics = LibraryMetrics(library.load, registry, clock=lambda: library.now)

    def shown() -> float | None:
        return samples(generate_latest(registry).decode()).get("sightline_database_bytes{}")

    first = [asyncio.create_task(metrics.refresh()) for _ in range(3)]
    await asyncio.sleep(0)
    assert shown() is None
    library.go.set()
    await asyncio.gather(*first)
    assert (library.calls, shown()) == (1, 1)
    library.go.clear()
    library.now += 59
    await metrics.refresh()
    assert library.calls == 1
    library.now += 2
    await metrics.refresh()  # counts again, but does not wait
    await asyncio.sleep(0)
    assert (library.calls, shown()) == (2, 1)
    await metrics.refresh()
    assert library.calls == 2


def expressions(value: object) -> Iterator[str]:
    """Yield all expressions of a dashboard."""
    if isinstance(value, dict):
        if "expr" in value:
            yield value["expr"]
        for each in value.values():
            yield from expressions(each)
    elif isinstance(value, list):
        for each in value:
            yield from expressions(each)


@pytest.fixture
def documented() -> list[str]:
    """Return the expressions of the dashboard and of the documented alerts."""
    dashboard = json.loads((ROOT / "packaging" / "grafana" / "sightline.json").read_text())
    page = (ROOT / "docs" / "how-to" / "observe.md").read_text(encoding="utf-8")
    alerts = re.findall(r"^ +(?:- )?expr: (.+)$", page, re.MULTILINE)
    assert alerts
    return [*expressions(dashboard), *alerts]


async def test_dashboard_and_alerts_use_metrics_of_a_real_scrape(
    tmp_path: Path, database: Database, database_dsn: str, documented: list[str]
) -> None:
    await fill_collection(database, "a" * 12)
    async with start_http_server(make_settings(tmp_path, database__url=database_dsn)) as (url, on):
        await scrape(url.removesuffix("/mcp"))  # waits for the start
        await database_of(on).get()
        known = names((await scrape(url.removesuffix("/mcp"))).text)
    for expression in documented:
        used = set(re.findall(r"\b(?:sightline|process)_\w+", expression))
        assert used, expression
        assert used <= known, expression
