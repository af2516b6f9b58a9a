"""`sightline vlm serve` with a real vLLM: the same greedy answers as the built-in server's.

Runs where ``VLLM_PYTHON`` names the interpreter of an environment that has vLLM; a CPU build does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from sightline.server.inference.vlm.client import VlmClient
from sightline.server.inference.vlm.endpoint import Endpoint
from sightline.server.vlm.serving import serving
from sightline.tools.boxes.profiles import choose
from sightline.tools.vision import Reply, Request, UnknownModelError
from sightline.training.vlm.model import Shape
from tests.support import random_llava

PYTHON = os.environ.get("VLLM_PYTHON", "")
NAME = "random-llava"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not PYTHON, reason="VLLM_PYTHON names no environment with vLLM"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model's own shape: vLLM takes no smaller heads."""
    return random_llava.write(tmp_path_factory.mktemp("models") / NAME, Shape())


async def test_vllm_is_started_answers_as_the_built_in_server_does_and_stops(
    folder: Path,
) -> None:
    async with vllm_serving(folder) as url:
        by_vllm = await answers(url, concurrency=16)
        async with asked(url, model="lava") as client:
            with pytest.raises(UnknownModelError, match=NAME):
                await client.health()
    with serving(folder) as url:
        by_builtin = await answers(url, concurrency=1)
    # Of a character that the last token leaves unfinished, one shows a mark and the other nothing.
    assert [each.text.rstrip("\ufffd") for each in by_vllm] == [
        each.text.rstrip("\ufffd") for each in by_builtin
    ]


async def answers(url: str, *, concurrency: int) -> list[Reply]:
    """To questions with and without pictures, all at once; nothing that we send is refused."""
    async with asked(url, concurrency=concurrency) as client:
        replies = await asyncio.gather(*map(client.ask, questions()))
        assert client.refused_features == frozenset()
    return replies


def questions() -> list[Request]:
    asking: list[Request] = []
    for n in range(8):
        picture = Image.new("RGB", (200 + n * 7, 150), (n * 30, 80, 200))
        ImageDraw.Draw(picture).rectangle((20 + n, 30, 90, 100), fill=(255 - n * 9, n * 20, 0))
        asking += [
            Request((picture, f"What colour is thing {n}?"), max_tokens=12),
            Request((f"Passage 1: hole spacing {n} mm <image>\n", "What is it?"), max_tokens=12),
            Request((picture, "Is there a van?"), choices=("yes", "no"), probabilities=True),
        ]
    return asking


@asynccontextmanager
async def asked(url: str, model: str = NAME, concurrency: int = 8) -> AsyncIterator[VlmClient]:
    endpoint = Endpoint(
        base_url=url,
        model=model,
        profile=choose("builtin-llava"),
        concurrency=concurrency,
        timeout_seconds=300,
    )
    async with VlmClient(endpoint) as client:
        yield client


@asynccontextmanager
async def vllm_serving(folder: Path) -> AsyncIterator[str]:
    """The command as an operator runs it; yields its address when it says that it is ready."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from sightline.server.cli import main; raise SystemExit(main())"),
        *("vlm", "serve", str(folder), "--name", NAME, "--device", "cpu", "--context", "1024"),
        *("--python", PYTHON, "--port", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said: list[str] = []
    while line := (await process.stderr.readline()).decode():
        said.append(line)
        if "ready; set SIGHTLINE_VLM_BASE_URL=" in line:
            break
    assert process.returncode is None, "".join(said[-20:])
    rest = asyncio.create_task(process.stderr.read())
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        await rest
        assert await process.wait() == 0
