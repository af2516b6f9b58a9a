from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from sightline.server.models.vision_language.builtin.builtin_transport import BuiltinTransport
from sightline.server.models.vision_language.builtin.chat_request import RequestLimits
from sightline.server.models.vision_language.builtin.llava_model import BUILTIN_FOLDER
from sightline.storage.errors import ConfigurationError
from sightline.training.vlm.data.letterbox import letterbox
from sightline.training.vlm.data.prompt import (
    ImageEvidence,
    TextEvidence,
    grounded_messages,
    parse_answer,
)
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import draw
from tests.support import random_llava
from tests.support.transformers_llava import TransformersLlava

NAME = "random-llava"
LIMITS = RequestLimits(
    max_body_bytes=300_000,
    max_images=2,
    max_image_pixels=100_000,
)


@pytest.fixture(scope="module")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llava.write(tmp_path_factory.mktemp("models") / NAME)


def open_client(folder: Path, limits: RequestLimits = LIMITS) -> httpx.AsyncClient:
    transport = BuiltinTransport(folder, limits)
    return httpx.AsyncClient(transport=transport, base_url="http://builtin.test/v1")


@pytest.fixture
async def client(llava_folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(llava_folder) as http_client:
        yield http_client


def data_url(size: tuple[int, int] = (32, 32), color: str = "red", form: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, form)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{text}"


def body(content: object = "What color is the van?", **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": content}]
    return {"model": NAME, "messages": messages, "max_tokens": 12, "temperature": 0, **more}


async def ask(
    client: httpx.AsyncClient, content: object = "What is it?", **more: object
) -> dict[str, object]:
    response = await client.post("/chat/completions", json=body(content, **more))
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def text_of(answer: dict[str, object]) -> str:
    return str(answer["choices"][0]["message"]["content"])  # type: ignore[index]


async def rejected(client: httpx.AsyncClient, status: int, sent: object) -> dict[str, str]:
    response = await client.post("/chat/completions", json=sent)
    assert response.status_code == status, response.text
    error: dict[str, str] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def image_part(url: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url}}


async def test_greedy_answers_equal_those_of_generate_in_transformers(
    client: httpx.AsyncClient, llava_folder: Path
) -> None:
    reference = TransformersLlava(llava_folder)
    for color, question in (("red", "What is it?"), ("blue", "车在哪里？"), ("white", "Is there")):
        shown = [
            ImageEvidence(data_url(color=color)),
            ImageEvidence(data_url((32, 32), "black", "WEBP")),
        ]
        messages = grounded_messages(question, [*shown, TextEvidence("HOTEL | 12")])
        response = await client.post(
            "/chat/completions", json={"model": NAME, "messages": messages, "max_tokens": 16}
        )
        images = [Image.new("RGB", (32, 32), name) for name in (color, "black")]
        answer = response.json()
        given = text_of(answer), answer["usage"]["prompt_tokens"]
        assert given == reference.answer(messages, images, 16)


async def test_it_lists_its_model(client: httpx.AsyncClient) -> None:
    models = (await client.get("/models")).json()
    assert [model["id"] for model in models["data"]] == [NAME]
    assert (await client.get("/embeddings")).status_code == 404


async def test_max_tokens_limits_the_answer(client: httpx.AsyncClient) -> None:
    answer = await ask(client, max_tokens=3)
    assert answer["usage"]["completion_tokens"] <= 3  # type: ignore[index]


async def test_the_answer_ends_before_a_stop_string(client: httpx.AsyncClient) -> None:
    free = text_of(await ask(client, max_tokens=24))
    stop = free[2:4]
    answer = await ask(client, max_tokens=24, stop=[stop])
    assert text_of(answer) == free[: free.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]


async def test_log_probabilities_include_the_most_likely_alternatives(
    client: httpx.AsyncClient,
) -> None:
    answer = await ask(client, max_tokens=4, logprobs=True, top_logprobs=3)
    tokens = answer["choices"][0]["logprobs"]["content"]  # type: ignore[index]
    assert len(tokens) in (3, 4)
    for token in tokens:
        top = [alternative["logprob"] for alternative in token["top_logprobs"]]
        assert len(top) == 3
        assert top == sorted(top, reverse=True)
        assert math.isclose(token["logprob"], top[0], abs_tol=1e-5)


async def test_the_same_seed_gives_the_same_answer(client: httpx.AsyncClient) -> None:
    drawn = [text_of(await ask(client, temperature=1.5, seed=seed)) for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]


async def test_the_answer_follows_a_json_schema(client: httpx.AsyncClient) -> None:
    schema = {
        "type": "object",
        "properties": {
            "color": {"enum": ["red", "white"]},
            "box": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
        },
        "required": ["color", "box"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = await ask(client, max_tokens=200, response_format=form, temperature=1, seed=1)
    value = json.loads(text_of(answer))
    assert value["color"] in ("red", "white")
    assert len(value["box"]) == 4


async def test_the_answer_is_one_of_the_choices(client: httpx.AsyncClient) -> None:
    answer = await ask(client, structured_outputs={"choice": ["是", "no"]})
    assert text_of(answer) in ("是", "no")
    assert answer["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]


async def test_the_answer_matches_a_regular_expression(client: httpx.AsyncClient) -> None:
    assert text_of(await ask(client, structured_outputs={"regex": "[0-9]{3}"})).isdigit()


@pytest.mark.parametrize("token_text", ["<image>", "<image><image>", "</s><|system|>", "<pad>"])
async def test_special_tokens_in_the_text_are_escaped(
    client: httpx.AsyncClient, token_text: str
) -> None:
    alone = await ask(client, f"What is {token_text} here?")
    assert alone["usage"]["prompt_tokens"] < 40  # type: ignore[index]
    halves = [
        {"type": "text", "text": text} for text in ("What is ", token_text[:3], token_text[3:])
    ]
    assert (await ask(client, halves))["usage"]["prompt_tokens"] < 40  # type: ignore[index]
    await ask(client, [{"type": "text", "text": token_text}, image_part(data_url())])


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x.png",
        "https://example.org/x.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:image/png,plain",
    ],
)
async def test_only_data_urls_are_accepted(client: httpx.AsyncClient, url: str) -> None:
    error = await rejected(client, 400, body([image_part(url)]))
    assert "data URL" in error["message"]


async def test_broken_images_are_rejected(client: httpx.AsyncClient) -> None:
    cut = data_url((64, 64), form="JPEG")[:-400]
    for url in ("data:image/png;base64,###", "data:image/png;base64,aGVsbG8=", cut):
        assert (await rejected(client, 400, body([image_part(url)])))[
            "type"
        ] == "invalid_request_error"


async def test_an_image_with_too_many_pixels_is_rejected(client: httpx.AsyncClient) -> None:
    error = await rejected(client, 400, body([image_part(data_url((4000, 4000)))]))
    assert "16,000,000" in error["message"] or "4000 x 4000" in error["message"]


async def test_too_many_images_are_rejected(client: httpx.AsyncClient) -> None:
    error = await rejected(client, 400, body([image_part(data_url())] * 3))
    assert "At most 2 image(s)" in error["message"]


async def test_a_large_body_is_rejected(client: httpx.AsyncClient) -> None:
    assert (await rejected(client, 413, body("x" * 400_000)))["code"] == "body_too_large"


async def test_an_unknown_model_is_an_error_with_the_served_one(client: httpx.AsyncClient) -> None:
    error = await rejected(client, 404, {**body(), "model": "gpt-4"})
    assert "gpt-4" in error["message"]
    assert NAME in error["message"]


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"stop": [""]}, "stop"),
        ({"top_logprobs": 99, "logprobs": True}, "top_logprobs"),
    ],
)
async def test_invalid_fields_are_named(
    client: httpx.AsyncClient, sent: dict[str, object], param: str
) -> None:
    assert (await rejected(client, 400, {**body(), **sent}))["param"] == param


async def test_a_prompt_longer_than_the_context_is_rejected(client: httpx.AsyncClient) -> None:
    error = await rejected(client, 400, body("What is it? " * 800))
    assert error["code"] == "context_length_exceeded"


async def test_an_invalid_schema_is_rejected(client: httpx.AsyncClient) -> None:
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "banana"}}}
    assert (await rejected(client, 400, body(response_format=form)))["param"] == "response_format"


async def test_a_full_queue_rejects_requests_with_retry_after(llava_folder: Path) -> None:
    long = body(max_tokens=300, structured_outputs={"regex": "[a-z]{200}"})
    limits = RequestLimits(max_waiting_requests=0)
    async with open_client(llava_folder, limits) as client:
        both = await asyncio.gather(*(client.post("/chat/completions", json=long) for _ in "ab"))
        answered, refused = sorted(both, key=lambda response: response.status_code)
        assert answered.status_code == 200
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "queue_full"
        assert (await ask(client, max_tokens=1))["usage"]  # the slot is free again


async def test_generation_stops_when_the_call_is_cancelled(client: httpx.AsyncClient) -> None:
    await ask(client, max_tokens=1)
    long = {"max_tokens": 900, "structured_outputs": {"regex": "[a-z]{2000}"}}
    first = asyncio.create_task(ask(client, **long))
    await asyncio.sleep(0)
    first.cancel()
    began = time.monotonic()
    await ask(client, max_tokens=1)
    soon = time.monotonic() - began
    began = time.monotonic()
    await ask(client, **long)
    assert soon < time.monotonic() - began


async def test_a_cancelled_first_request_does_not_stop_the_loading(
    client: httpx.AsyncClient,
) -> None:
    first = asyncio.create_task(ask(client, max_tokens=1))
    await asyncio.sleep(0)
    first.cancel()
    assert (await ask(client, max_tokens=1))["usage"]


async def test_a_model_that_could_not_be_loaded_is_tried_again(
    llava_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(llava_folder, tmp_path / NAME))
    graph = (folder / "decoder.onnx").read_bytes()
    (folder / "decoder.onnx").write_bytes(b"no graph")
    async with open_client(folder) as client:
        with pytest.raises(ConfigurationError, match=r"decoder\.onnx' cannot be loaded"):
            await ask(client, max_tokens=1)
        (folder / "decoder.onnx").write_bytes(graph)
        assert (await ask(client, max_tokens=1))["usage"]


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no model .*config\.json is missing"):
        BuiltinTransport(tmp_path)


async def test_the_built_in_model_answers_in_the_trained_format() -> None:
    shapes = letterbox(draw("shapes", seed_of("test", 3), "test").image)
    buffer = io.BytesIO()
    shapes.save(buffer, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    questions = ("How many shapes are there?", "一共有几个图形？", "Who made this?")
    lines = []
    async with open_client(BUILTIN_FOLDER) as client:
        for question in questions:
            sent = {
                "model": "builtin-llava",
                "messages": grounded_messages(question, [ImageEvidence(url)]),
                "max_tokens": 32,
            }
            lines.append(text_of((await client.post("/chat/completions", json=sent)).json()))
    answers = [parse_answer(line) for line in lines]
    assert [answer.text.isdigit() for answer in answers[:2]] == [True, True], lines
    assert [answer.sources for answer in answers[:2]] == [(1,), (1,)]
    assert answers[2].status == "not shown"
