"""A real server with the material of two principals, and what it consumes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import httpx
import httpx2
import psutil
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from benchmarks import dataset, environment
from benchmarks.hostile.attacker import Target
from benchmarks.hostile.flood_files import hostile_archives, large_png
from benchmarks.hostile.floods import ARCHIVES, annotations
from benchmarks.hostile.neighbor import Neighbor
from sightline.server.auth.scopes import SCOPES
from sightline.server.auth.static_tokens import issue_token
from sightline.tools.shared.tool_results import read_result
from tests.support import fake_vlm_server, token_issuer
from tests.support.ports import free_port

#: Usual soft limit of open files of a service.
_OPEN_FILES = 1_024
_SAMPLE_SECONDS = 1.0
_DISK_EVERY_SAMPLES = 5
_SAVED_ANNOTATIONS = 3_000
_PRINCIPALS = ("alice", "bob")


@dataclass(frozen=True)
class Stage:
    """The running server, the attacker and the neighbor."""

    process: psutil.Process
    data_dir: Path
    target: Target
    neighbor: Neighbor

    def processes(self) -> list[psutil.Process]:
        """Return the server, its workers and its Postgres."""
        roots = [self.process]
        try:
            pid = (self.data_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
            roots.append(psutil.Process(int(pid)))
        except (OSError, psutil.NoSuchProcess):
            pass
        found = {each.pid: each for each in roots}
        for root in roots:
            try:
                found |= {each.pid: each for each in root.children(recursive=True)}
            except psutil.NoSuchProcess:
                continue
        return list(found.values())

    def disk_mib(self) -> float:
        """Return the size of the data folder."""
        total = 0
        for folder, _, names in os.walk(self.data_dir):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118
                except FileNotFoundError:
                    continue
        return total / 2**20


class Sampler:
    """Samples memory and disk in a thread, and measures the CPU time of the server."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._cpu: dict[int, float] = {}
        self.peak_memory_mib = 0.0
        self.peak_disk_mib = self.start_disk_mib = stage.disk_mib()
        self.cores = 0.0

    def __enter__(self) -> Self:
        self._start_time = time.monotonic()
        self._sample()
        self._start_cpu = dict(self._cpu)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        used = sum(seconds - self._start_cpu.get(pid, 0.0) for pid, seconds in self._cpu.items())
        self.cores = used / (time.monotonic() - self._start_time)

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._sample()
            number += 1
            if number % _DISK_EVERY_SAMPLES == 0:
                self.peak_disk_mib = max(self.peak_disk_mib, self._stage.disk_mib())

    def _sample(self) -> None:
        kib = 0
        for process in self._stage.processes():
            try:
                kib += _pss_kib(process.pid)
                times = process.cpu_times()
                self._cpu[process.pid] = times.user + times.system
            except (OSError, psutil.Error):
                continue
        self.peak_memory_mib = max(self.peak_memory_mib, kib / 1024)


def _pss_kib(pid: int) -> int:
    """Return the proportional set size: shared pages count once over all processes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


@contextmanager
def running_stage(images: int) -> Iterator[Stage]:
    """Start the server with ``images`` of each principal, and stop it at the end."""
    with (
        environment.temporary_settings() as settings,
        tempfile.TemporaryDirectory(prefix="sightline-hostile-") as name,
        _fakes() as urls,
    ):
        folder = Path(name).resolve()
        secrets = _write_tokens(folder / "tokens")
        port = free_port()
        variables = environment.command_environment(settings) | {
            "SIGHTLINE_HTTP__PORT": str(port),
            "SIGHTLINE_AUTH__TOKENS_FILE": str(folder / "tokens"),
            "SIGHTLINE_AUTH__JWT__ISSUER": "https://login.example/",
            "SIGHTLINE_AUTH__JWT__JWKS_URL": urls["jwks"],
            "SIGHTLINE_ALLOWED_ROOTS": str(folder / "files"),
            "SIGHTLINE_ANALYTICS__ENABLED": "true",
            "SIGHTLINE_VLM__BASE_URL": urls["vlm"],
            "SIGHTLINE_VLM__MODEL": fake_vlm_server.MODEL,
            "SIGHTLINE_VLM__PROFILE": "plain",
        }
        for number, who in enumerate(_PRINCIPALS):
            dataset.write_images(folder / "files" / who, images, dataset.SMALL_SIZES, seed=number)
        (folder / "files" / "alice" / "large.png").write_bytes(large_png())
        archives = folder / "files" / "drop" / ARCHIVES
        archives.mkdir(parents=True)
        for archive, data in hostile_archives().items():
            (archives / archive).write_bytes(data)
        with _server(variables, port, folder / "server.log") as process:
            url = f"http://127.0.0.1:{port}/mcp"
            with ThreadPoolExecutor(1) as thread:  # this thread may have an event loop
                ingest = _ingest(url, secrets["alice"], folder / "files")
                assets = thread.submit(asyncio.run, ingest).result()
            for who in _PRINCIPALS:
                _command(variables, "bind", who, "--collections", who)
            granted = _command(variables, "grant-analyst", "mallory", "--collections", "alice")
            drop = folder / "files" / "drop"
            yield Stage(
                process,
                settings.data_dir,
                Target(url, secrets["alice"], "alice", assets["alice"], drop, granted.strip()),
                Neighbor(url, secrets["bob"], "bob", assets["bob"]),
            )


def _write_tokens(path: Path) -> dict[str, str]:
    issued = {who: issue_token(who, SCOPES) for who in _PRINCIPALS}
    path.write_text("\n".join(str(kept) for _, kept in issued.values()))
    path.chmod(0o600)
    return {who: secret for who, (secret, _) in issued.items()}


def _command(variables: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [environment.SIGHTLINE, *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"sightline {arguments[0]} failed: {done.stderr}")
    return done.stdout


async def _ingest(url: str, token: str, folder: Path) -> dict[str, tuple[str, ...]]:
    """Add the images of both principals, while nobody is bound; return their asset ids."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=600) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(tool, arguments)
            if result.is_error:
                raise SystemExit(f"{tool} failed: {result.content}")
            return read_result(result)

        assets = {}
        for who in _PRINCIPALS:
            added = await call("add_images", collection=who, paths=[str(folder / who)])
            if added["failed"]:
                raise SystemExit(f"Some files were not ingested: {json.dumps(added)}")
            found = await call("search_images", query="a van", collection=who, limit=50)
            assets[who] = [hit["asset"] for hit in found["hits"]]
        statement = "SELECT asset_id FROM assets WHERE width > 9000"
        large = (await call("query_sql", sql=statement))["rows"][0][0]
        assets["alice"] = [large, *(each for each in assets["alice"] if each != large)]
        for _ in range(0, _SAVED_ANNOTATIONS, len(annotations("")["boxes"])):
            saved = await client.call_tool("save_annotation", annotations(assets["alice"][1]))
            if saved.is_error:  # the limit of an asset
                break
    return {who: tuple(each) for who, each in assets.items()}


@contextmanager
def _server(variables: dict[str, str], port: int, log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as output:
        server = subprocess.Popen(
            [environment.SIGHTLINE, "serve", "--http"],
            env=variables,
            stderr=output,
        )
        # Long before it listens: a program may raise its own limit when it starts.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (_OPEN_FILES, most))
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}", server, log)
            yield psutil.Process(server.pid)
        finally:
            server.terminate()
            try:
                server.wait(120)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_ready(base: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers searches."""
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"The server exited:\n{log.read_text()[-2000:]}")
        try:
            if httpx.get(f"{base}/readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit("The server was not ready after 300 s.")


@contextmanager
def _fakes() -> Iterator[dict[str, str]]:
    """Run a model endpoint and an authorization server in a process of their own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run_fakes, args=(there,))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send(None)
        process.join()


def _run_fakes(pipe: Connection) -> None:
    async def serve() -> None:
        endpoint = fake_vlm_server.FakeVlmServer()
        endpoint.default_behavior = fake_vlm_server.fails_on(
            "FAIL", "CUDA error at worker gpu-7.internal:8000"
        )
        key = token_issuer.RsaKey("bench")
        async with (
            fake_vlm_server.serving(endpoint) as vlm,
            token_issuer.run_issuer(key) as issuer,
        ):
            pipe.send({"vlm": vlm, "jwks": issuer.url})
            await asyncio.to_thread(pipe.recv)

    asyncio.run(serve())
