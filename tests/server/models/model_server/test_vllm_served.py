"""Needs ``VLLM_PYTHON``: the interpreter of an environment with vLLM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image, ImageDraw

from sightline.server.models.vision_language.builtin.builtin_transport import BuiltinTransport
from sightline.server.models.vision_language.builtin.llava_model import BUILTIN_FOLDER
from sightline.server.models.vision_language.vlm_client import VlmCallStats, VlmClient
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.storage.records.assets import Asset
from sightline.tools.answers.answer_context import ImageEvidence
from sightline.tools.answers.answer_prompts import question_request
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.vlm.vision_language_model import Reply, Request, UnknownModelError
from sightline.training.vlm.model.llava import Shape
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import FAMILIES, draw
from tests.support import random_llava
from tests.support.ports import free_port

PYTHON = os.environ.get("VLLM_PYTHON", "")
NAME = "random-llava"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not PYTHON, reason="VLLM_PYTHON names no environment with vLLM"),
]


async def test_vllm_gives_the_same_answers_as_the_built_in_engine_and_stops(
    tmp_path: Path,
) -> None:
    # The shape of the built-in model, because vLLM does not support smaller heads.
    folder = random_llava.write(tmp_path / NAME, Shape())
    async with vllm_serving(folder) as url:
        by_vllm = await answers(synthetic_requests(), url, max_concurrent_requests=16)
        async with open_client(url, model="lava") as client:
            with pytest.raises(UnknownModelError, match=NAME):
                await client.health()
    by_builtin = await answers(synthetic_requests(), transport=BuiltinTransport(folder))
    # They differ in how they show an incomplete character at the end.
    assert [each.text.rstrip("\ufffd") for each in by_vllm] == [
        each.text.rstrip("\ufffd") for each in by_builtin
    ]


async def test_the_built_in_model_gives_the_same_answers_through_vllm() -> None:
    # 162 questions about nine test images, with the prompt of the tool.
    requests = world_requests()
    async with vllm_serving(BUILTIN_FOLDER) as url:
        by_vllm = await answers(requests, url, max_concurrent_requests=16)
    transport = BuiltinTransport(BUILTIN_FOLDER)
    by_builtin = await answers(requests, model=BUILTIN_FOLDER.name, transport=transport)
    differing = [
        (request.parts[-1], one.text, other.text)
        for request, one, other in zip(requests, by_vllm, by_builtin, strict=True)
        if one.text != other.text
    ]
    assert not differing, f"{len(differing)} of {len(requests)}: {differing[:5]}"


async def answers(
    requests: Sequence[Request],
    url: str = "http://builtin.test/v1",
    **options: Any,
) -> list[Reply]:
    """Send all requests concurrently; the server must reject no field."""
    calls: list[VlmCallStats] = []
    async with open_client(url, observer=calls.append, **options) as client:
        replies = await asyncio.gather(*map(client.ask, requests))
    assert [call.requests for call in calls] == [1] * len(requests)
    return replies


def synthetic_requests() -> list[Request]:
    requests: list[Request] = []
    for n in range(8):
        image = Image.new("RGB", (200 + n * 7, 150), (n * 30, 80, 200))
        ImageDraw.Draw(image).rectangle((20 + n, 30, 90, 100), fill=(255 - n * 9, n * 20, 0))
        requests += [
            Request((image, f"What color is thing {n}?"), max_tokens=12),
            Request((f"Passage 1: hole spacing {n} mm <image>\n", "What is it?"), max_tokens=12),
            Request((image, "Is there a van?"), choices=("yes", "no"), probabilities=True),
        ]
    return requests


def world_requests() -> list[Request]:
    requests = []
    for number, family in enumerate(FAMILIES):
        scene = draw(family, seed_of("test", 500_000 + number), "test")
        asset = cast("Asset", None)  # prompts do not use it
        evidence = [ImageEvidence(1, asset, scene.image)]
        requests += [
            question_request(choose_profile("builtin-llava"), each.question, evidence)
            for each in scene.questions[:18]
        ]
    return requests


@asynccontextmanager
async def open_client(
    url: str,
    model: str = NAME,
    observer: Callable[[VlmCallStats], None] | None = None,
    transport: BuiltinTransport | None = None,
    max_concurrent_requests: int = 1,
) -> AsyncIterator[VlmClient]:
    endpoint = VlmEndpoint(
        base_url=url,
        model=model,
        profile=choose_profile("builtin-llava"),
        max_concurrent_requests=max_concurrent_requests,
        timeout_seconds=300,
    )
    async with VlmClient(endpoint, observer=observer, transport=transport) as client:
        yield client


@asynccontextmanager
async def vllm_serving(folder: Path) -> AsyncIterator[str]:
    """Run the command as an operator does; yield its URL when it is ready."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from sightline.server.cli import main; raise SystemExit(main())"),
        *("vlm", "serve", str(folder), "--name", NAME, "--device", "cpu", "--context", "1024"),
        *("--python", PYTHON, "--port", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    stderr: list[str] = []
    while line := (await process.stderr.readline()).decode():
        stderr.append(line)
        if "ready; set SIGHTLINE_VLM__BASE_URL=" in line:
            break
    assert process.returncode is None, "".join(stderr[-20:])
    remaining = asyncio.create_task(process.stderr.read())
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        await remaining
        assert await process.wait() == 0
