"""`sightline vlm serve` with a real vLLM: the same greedy answers as the built-in server's.

Runs where ``VLLM_PYTHON`` names the interpreter of an environment that has vLLM; a CPU build does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from PIL import Image, ImageDraw

from sightline.server.models.model_server.builtin.builtin_server import serving
from sightline.server.models.model_server.builtin.openai_app import BUILTIN
from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
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


async def test_vllm_is_started_answers_as_the_built_in_server_does_and_stops(
    tmp_path: Path,
) -> None:
    # The built-in model's own shape: vLLM takes no smaller heads.
    folder = random_llava.write(tmp_path / NAME, Shape())
    async with vllm_serving(folder) as url:
        by_vllm = await answers(url, questions(), concurrency=16)
        async with asked(url, model="lava") as client:
            with pytest.raises(UnknownModelError, match=NAME):
                await client.health()
    with serving(folder, name=NAME) as url:
        by_builtin = await answers(url, questions(), concurrency=1)
    # Of a character that the last token leaves unfinished, one shows a mark and the other nothing.
    assert [each.text.rstrip("\ufffd") for each in by_vllm] == [
        each.text.rstrip("\ufffd") for each in by_builtin
    ]


async def test_the_built_in_model_answers_the_drawn_world_alike_through_vllm() -> None:
    # 162 questions about nine held-out pictures, each in the form that the tool asks in.
    asking = drawn_questions()
    async with vllm_serving(BUILTIN) as url:
        by_vllm = await answers(url, asking, concurrency=16)
    with serving(BUILTIN, name=NAME) as url:
        by_builtin = await answers(url, asking, concurrency=1)
    differing = [
        (request.parts[-1], one.text, other.text)
        for request, one, other in zip(asking, by_vllm, by_builtin, strict=True)
        if one.text != other.text
    ]
    assert not differing, f"{len(differing)} of {len(asking)}: {differing[:5]}"


async def answers(url: str, asking: Sequence[Request], *, concurrency: int) -> list[Reply]:
    """All at once; nothing that we send is refused."""
    async with asked(url, concurrency=concurrency) as client:
        replies = await asyncio.gather(*map(client.ask, asking))
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


def drawn_questions() -> list[Request]:
    asking = []
    for number, family in enumerate(FAMILIES):
        picture = draw(family, seed_of("test", 500_000 + number), "test")
        asset = cast("Asset", None)  # a prompt says nothing of where its pictures are from
        evidence = [ImageEvidence(1, asset, picture.image)]
        asking += [
            question_request(choose_profile("builtin-llava"), each.question, evidence)
            for each in picture.questions[:18]
        ]
    return asking


@asynccontextmanager
async def asked(url: str, model: str = NAME, concurrency: int = 8) -> AsyncIterator[VlmClient]:
    endpoint = Endpoint(
        base_url=url,
        model=model,
        profile=choose_profile("builtin-llava"),
        concurrency=concurrency,
        timeout_seconds=300,
    )
    async with VlmClient(endpoint) as client:
        yield client


@asynccontextmanager
async def vllm_serving(folder: Path) -> AsyncIterator[str]:
    """The command as an operator runs it; yields its address when it says that it is ready."""
    port = free_port()
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
        if "ready; set SIGHTLINE_VLM__BASE_URL=" in line:
            break
    assert process.returncode is None, "".join(said[-20:])
    rest = asyncio.create_task(process.stderr.read())
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        await rest
        assert await process.wait() == 0
