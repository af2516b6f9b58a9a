"""The floods of the security review: what one hostile principal sends as fast as it can."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import re
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from mcp import Client

import sightline
from benchmarks.hostile.attacker import (
    PAUSE_SECONDS,
    Flood,
    Outcomes,
    Target,
    call_at_once,
    request_at_once,
    run,
)
from benchmarks.hostile.flood_files import slow_pdf
from tests.support.mcp_messages import ACCEPT, INITIALIZE
from tests.support.sample_images import jpeg

#: Folder of the prepared archives below the folder of the target.
ARCHIVES = "archives"
_HELD_LOCKS = "FROM pg_locks WHERE locktype = 'advisory' AND objsubid"
_HALF_SENT_REQUESTS = 1_500
_SLOW_BODIES = 200
_ANALYST_SESSIONS = 3  # as many as a login may have
_BOXES = 2_000
_LARGE_FILTER_CONDITIONS = 64


def _calls(tool: str, arguments: Callable[[Target, int], dict[str, Any]]) -> Flood:
    """Return a flood of calls of one tool."""

    async def flood(target: Target, outcomes: Outcomes) -> None:
        await call_at_once(
            target, outcomes, lambda client, n: client.call_tool(tool, arguments(target, n))
        )

    return flood


#: Finding 2 and 14: SQL that sleeps, locks, or fills memory and disk.
_SQL = (
    "SELECT 1 --\r , pg_sleep(9)::text",
    "SELECT 1 --\r , pg_advisory_lock(1366716593)::text",
    "SELECT E'a'\n'b\\' , ' , pg_sleep(9)::text /* ' */",
    "SELECT 1 --\r , pg_logical_emit_message(false, 'x', repeat('x', 1000000))::text",
    "SELECT count(*) FROM generate_series(1, 1000000000)",
    "SELECT count(*) FROM assets AS a, assets AS b, assets AS c, assets AS d, assets AS e",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
)
_GIANT_ROWS = (
    "SELECT repeat('x', 400000000)",
    "SELECT repeat('x', 200000000), repeat('y', 200000000)",
    "SELECT array_agg(n) FROM generate_series(1, 30000000) AS n",
    "SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 300000)",
    "SELECT max(m) FROM (SELECT md5(n::text) AS m FROM generate_series(1, 2e7) AS n ORDER BY 1) t",
    "SELECT repeat('x', 900000) FROM generate_series(1, 1000)",
)


def _large_filter(number: int) -> dict[str, Any]:
    """Return a filter of 6 MB."""
    values = [f"{number}-{each}-".ljust(490, "x") for each in range(200)]
    return {"or": [{"group": {"in": values}} for _ in range(_LARGE_FILTER_CONDITIONS)]}


async def _open_sessions(target: Target, outcomes: Outcomes) -> None:
    """Finding 5: begin sessions and leave them."""
    headers = {**target.headers, **ACCEPT}
    await request_at_once(target, outcomes, 32, "POST", target.url, headers, json=INITIALIZE)


async def _large_pictures(target: Target, outcomes: Outcomes) -> None:
    """Finding 6: view, crop and ask about a picture of 99 megapixels."""
    asset = target.assets[0]
    calls = (
        ("view_image", {"asset": asset, "max_edge": 128}),
        ("view_image", {"asset": asset, "crop": [0.1, 0.1, 0.9, 0.9]}),
        ("annotate_image", {"asset": asset, "boxes": [{"box": [0, 0, 1, 1], "label": "x"}]}),
        ("answer_question", {"question": "What is it?", "assets": [asset]}),
        ("search_images", {"image": asset, "region": [0, 0, 0.9, 0.9]}),
    )
    await call_at_once(target, outcomes, lambda client, n: client.call_tool(*calls[n % len(calls)]))


async def _analyst_locks(target: Target, outcomes: Outcomes) -> None:
    """Finding 7: hold every advisory lock that the server takes, and lock what can be locked."""
    source = Path(sightline.__file__).parent
    texts = [
        path.read_text(encoding="utf-8")
        for folder in ("storage", "server", "migrations")
        for pattern in ("*.py", "*.sql")
        for path in (source / folder).rglob(pattern)
    ]
    keys = sorted(
        {int(key, 0) for text in texts for key in re.findall(r"\b0x[0-9A-Fa-f_]{6,16}\b", text)}
    )

    async def attack(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(target.analyst) as connection:
            await connection.execute("SET statement_timeout = '5s'")
            await connection.execute("SET default_transaction_read_only = off")
            await connection.commit()
            statements = [
                *[f"SELECT pg_advisory_lock({key})" for key in keys],
                "SELECT pg_advisory_lock(hashtext('sightline_roles'))",
                # Waits behind whoever holds or awaits an advisory lock now.
                f"SELECT pg_advisory_lock(classid::int, objid::int) {_HELD_LOCKS} = 2",
                f"SELECT pg_advisory_lock((classid::int8 << 32) | objid::int8) {_HELD_LOCKS} = 1",
                "LOCK TABLE sightline.asset IN ACCESS EXCLUSIVE MODE",
                "SELECT * FROM analytics.assets FOR UPDATE",
                "SELECT count(*) FROM analytics.embeddings AS a, analytics.embeddings AS b",
            ]
            while not target.is_over:
                try:
                    await connection.execute(statements[number % len(statements)].encode())
                    outcomes["answered"] += 1
                except psycopg.Error:
                    outcomes["refused"] += 1
                    await connection.rollback()
                    await asyncio.sleep(PAUSE_SECONDS)
                number += 1

    await asyncio.gather(
        *(attack(number) for number in range(_ANALYST_SESSIONS)), return_exceptions=True
    )


async def _drawn_boxes(target: Target, outcomes: Outcomes) -> None:
    """Finding 8: addresses with thousands of boxes, and saved annotations."""
    rng = random.Random(1)
    boxes = [
        [*sorted(round(rng.random(), 2) for _ in range(4)), "x" * (n % 3)] for n in range(_BOXES)
    ]
    codes = []
    for count in (50, 210, 800, _BOXES):
        text = json.dumps(["box", boxes[:count]], separators=(",", ":"))
        codes.append(base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))
    own = target.assets[1]

    async def send(client: Client, number: int) -> object:
        kind = number % (len(codes) + 2)
        if kind < len(codes):
            return await client.read_resource(f"sightline://asset/{own}/drawn/{codes[kind]}")
        if kind == len(codes):
            return await client.call_tool("view_image", {"asset": own, "annotated": True})
        return await client.call_tool("save_annotation", annotations(own))

    await call_at_once(target, outcomes, send)


def annotations(asset: str) -> dict[str, Any]:
    """Return the arguments that save as many boxes as one call may."""
    boxes = [
        {"box": [n / 100, n / 100, 0.5 + n / 100, 0.5 + n / 100], "label": "flood"}
        for n in range(50)
    ]
    return {"asset": asset, "boxes": boxes, "origin": "person"}


async def _slow_pdfs(target: Target, outcomes: Outcomes) -> None:
    """Finding 9: PDFs of nested forms; every second client leaves after two seconds."""

    async def send(client: Client, number: int) -> object:
        path = target.folder / f"slow-{number}.pdf"
        path.write_bytes(slow_pdf(number))
        arguments = {"collection": target.collection, "paths": [str(path)]}
        try:
            async with asyncio.timeout(2 if number % 2 else None):
                return await client.call_tool("add_images", arguments)
        finally:
            path.unlink()

    await call_at_once(target, outcomes, send)


async def _hostile_archives(target: Target, outcomes: Outcomes) -> None:
    """Finding 16: archives that are slow, large or broken to read."""
    paths = [str(path) for path in sorted((target.folder / ARCHIVES).iterdir())]

    async def send(client: Client, number: int) -> object:
        arguments = {"collection": target.collection, "paths": [paths[number % len(paths)]]}
        return await client.call_tool("add_images", arguments)

    await call_at_once(target, outcomes, send)


def _uploads(target: Target, number: int) -> dict[str, Any]:
    """Finding 10: ingest new pictures."""
    uploads = [
        {"name": f"{number}-{each}.jpg", "data": base64.b64encode(_new_jpeg(number, each)).decode()}
        for each in range(4)
    ]
    return {"collection": target.collection, "uploads": uploads}


def _new_jpeg(number: int, each: int) -> bytes:
    return jpeg((97 * number + each) % 2**32)


async def _half_sent_requests(target: Target, outcomes: Outcomes) -> None:
    """Finding 12: heads and bodies that never end, without a token."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (8_192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    parts = urlsplit(target.url)
    address = (parts.hostname or "", parts.port or 0)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
    slow_body = (
        f"{head}Authorization: Bearer {target.token}\r\nContent-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\nContent-Length: 1000000\r\n\r\n{"
    )

    async def hold(start: str, drop: bytes) -> None:
        while not target.is_over:
            connection = socket.socket()
            connection.setblocking(False)
            try:
                loop = asyncio.get_running_loop()
                await asyncio.wait_for(loop.sock_connect(connection, address), 5)
                await loop.sock_sendall(connection, start.encode())
                outcomes["connections"] += 1
                while not target.is_over:
                    await asyncio.sleep(3)
                    await loop.sock_sendall(connection, drop)
            except OSError:
                outcomes["closed by the server"] += 1
                await asyncio.sleep(1)
            finally:
                connection.close()

    await asyncio.gather(
        *(hold(head, b"X-A: b\r\n") for _ in range(_HALF_SENT_REQUESTS)),
        *(hold(slow_body, b" ") for _ in range(_SLOW_BODIES)),
    )


async def _readyz(target: Target, outcomes: Outcomes) -> None:
    """Finding 23: probes and metrics under a foreign Host, without a token."""
    base = target.url.removesuffix("/mcp")
    await asyncio.gather(
        *(
            request_at_once(target, outcomes, 24, "GET", base + path, {"Host": host})
            for path, host in (
                ("/readyz", urlsplit(base).netloc),
                ("/readyz", "evil.example"),
                ("/metrics", "evil.example"),
            )
        )
    )


async def _garbage_tokens(target: Target, outcomes: Outcomes) -> None:
    """Guess static tokens, and send long and malformed signed ones."""
    numbers = itertools.count()

    def headers() -> dict[str, str]:
        number = next(numbers)
        guesses = (
            f"sl_{number:043}",
            f"eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.e30.{number}",
            "a.b.c",
            "x" * 30_000,
        )
        return {"Authorization": f"Bearer {guesses[number % len(guesses)]}"}

    await request_at_once(target, outcomes, 64, "POST", target.url, headers, json={})


#: By number of the finding and what is sent.
FLOODS: dict[str, Flood] = {
    "2 sleeping and locking SQL": _calls("query_sql", lambda _, n: {"sql": _SQL[n % len(_SQL)]}),
    "4 searches for new words": _calls(
        "search_text", lambda _, n: {"query": " ".join(f"w{n}x{k}" for k in range(200))}
    ),
    "5 sessions": _open_sessions,
    "6 large pictures": _large_pictures,
    "7 locks of an analyst": _analyst_locks,
    "8 thousands of boxes": _drawn_boxes,
    "9 slow PDFs": _slow_pdfs,
    "10 concurrent add_images": _calls("add_images", _uploads),
    "11 filters of 6 MB": _calls(
        "search_images", lambda _, n: {"query": f"lantern {n}", "filters": _large_filter(n)}
    ),
    "12 half-sent requests": _half_sent_requests,
    "14 giant rows and temporary files": _calls(
        "query_sql", lambda _, n: {"sql": _GIANT_ROWS[n % len(_GIANT_ROWS)]}
    ),
    "16 hostile archives": _hostile_archives,
    "17 annotations in results": _calls(
        "search_images", lambda _, n: {"query": f"lantern {n}", "detail": "detailed", "limit": 8}
    ),
    "18 texts that others may have searched": _calls(
        "search_images", lambda _, n: {"query": f"dismissal letter for employee {n % 5}"}
    ),
    "21 failing model": _calls(
        "answer_question",
        lambda target, n: {"question": f"FAIL {n}?", "assets": [target.assets[-1]]},
    ),
    "23 probes": _readyz,
    "25 garbage tokens": _garbage_tokens,
}


def run_flood(name: str, target: Target, seconds: float) -> Outcomes:
    """Run a flood in this process; return its calls by outcome."""
    return run(FLOODS[name], target, seconds)
