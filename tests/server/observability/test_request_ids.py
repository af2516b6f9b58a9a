"""One id connects the answer, the log, the audit log, the search log and the trace."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
from pathlib import Path

import httpx2
import psycopg

from sightline.server.auth.static_tokens import issue_token
from tests.server.test_stdio import COMMAND, environment
from tests.support.mcp_messages import ACCEPT, INITIALIZE, calling
from tests.support.sample_images import jpeg
from tests.support.trace_collector import run_collector

_TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_all_records_of_a_request_have_its_id(tmp_path: Path, database_dsn: str) -> None:
    secret, stored = issue_token("ann", ["read", "write", "metrics"])
    tokens, audit = tmp_path / "tokens", tmp_path / "audit.jsonl"
    tokens.write_text(str(stored))
    tokens.chmod(0o600)
    async with run_collector() as collector:
        env = environment(
            tmp_path,
            database__url=database_dsn,
            auth__tokens_file=str(tokens),
            log__format="json",
            log__audit_file=str(audit),
            encoder__model="builtin",
            encoder__threads="1",
            ingest__workers="1",
            ingest__ocr="off",
            startup_timeout_seconds="200",
        )
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "--http", "--port", "0"),
            env=env | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        lines: list[bytes] = []
        try:
            async for line in process.stderr:
                lines.append(line)
                if b"listening on " in line:
                    break
            url = json.loads(lines[-1])["message"].rpartition("listening on ")[2]
            reading = asyncio.create_task(process.stderr.read())
            answers, metrics = await _requests(url, secret)
        finally:
            process.terminate()
            await process.wait()
        lines += (await reading).splitlines()
    log = [json.loads(line) for line in lines if line.startswith(b"{")]
    audited = [json.loads(line) for line in audit.read_text().splitlines()]
    searched, refused, session, unknown = answers
    ids = [each.headers["x-request-id"] for each in answers]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
    assert unknown.status_code == 401

    logged = {each["request"]: each for each in log if "request" in each}
    by_request = {each["request"]: each for each in audited}
    for request in ids[:2]:
        assert logged[request]["principal"] == "ann"
        assert by_request[request]["principal"] == "ann"
    assert logged[ids[0]]["trace"] == by_request[ids[0]]["trace"] == _TRACE
    assert "session" not in logged[ids[0]]
    # A session has a digest of its id, which is a secret.
    session_id = session.request.headers["mcp-session-id"]
    assert logged[ids[2]]["session"] == by_request[ids[2]]["session"]
    assert session_id not in json.dumps(log) + json.dumps(audited)

    (span,) = [each for each in collector.named("tools/call search_text") if each.trace == _TRACE]
    assert span.attributes["sightline.request.id"] == ids[0]
    with psycopg.connect(database_dsn) as connection:
        rows = connection.execute("SELECT request_id, query FROM analytics.searches").fetchall()
    assert rows == [(ids[0], "lantern")]
    assert "hits" in searched.text
    for expected in (
        'sightline_search_seconds_count{tool="search_text"} 1.0',
        'sightline_search_stage_seconds_count{stage="lexical"} 1.0',
        'sightline_ingest_files_total{outcome="added"} 1.0',
        "sightline_ingest_images_total 1.0",
        'sightline_http_responses_total{method="POST",route="/mcp",status="401"} 1.0',
    ):
        assert expected in metrics
    assert f'"sightline/request_id":"{ids[1]}"' in refused.text


async def _requests(url: str, secret: str) -> tuple[list[httpx2.Response], str]:
    """Search, call with a wrong argument, call in a session, and call without a token.

    Returns the answers, and the metrics after them.
    """
    authorization = {"Authorization": f"Bearer {secret}"}
    async with httpx2.AsyncClient(headers={**ACCEPT, **authorization}, timeout=200) as http:
        upload = {"name": "a.jpg", "data": base64.b64encode(jpeg(1)).decode()}
        headers, message = calling("add_images", uploads=[upload], collection="album")
        added = await http.post(url, headers=headers, json=message)
        assert "a.jpg" in added.text, added.text
        headers, message = calling("search_text", query="lantern")
        message["params"]["_meta"]["traceparent"] = f"00-{_TRACE}-b7ad6b7169203331-01"
        searched = await http.post(url, headers=headers, json=message)
        headers, message = calling("search_text", query="lantern", wrong=1)
        refused = await http.post(url, headers=headers, json=message)
        opened = await http.post(url, json=INITIALIZE)
        in_session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        message["params"].pop("_meta")
        session = await http.post(url, headers=in_session, json=message)
        unknown = await http.post(url, headers={"Authorization": "Bearer no"}, json=INITIALIZE)
        metrics = (await http.get(url.replace("/mcp", "/metrics"))).text
    return [searched, refused, session, unknown], metrics
