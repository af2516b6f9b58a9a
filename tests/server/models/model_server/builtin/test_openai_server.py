from __future__ import annotations

import base64
import io
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from sightline.server.models.model_server.builtin.chat_request import RequestLimits
from sightline.server.models.model_server.builtin.openai_server import (
    BUILTIN_VLM,
    run_server_in_thread,
)
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

NAME = "random-llava"
LIMITS = RequestLimits(
    max_body_bytes=300_000,
    max_images=2,
    max_image_pixels=100_000,
)


@pytest.fixture(scope="module")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llava.write(tmp_path_factory.mktemp("models") / NAME)


@pytest.fixture(scope="module")
def client(llava_folder: Path) -> Iterator[httpx.Client]:
    with (
        run_server_in_thread(llava_folder, limits=LIMITS) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http_client,
    ):
        yield http_client


def data_url(size: tuple[int, int] = (32, 32), color: str = "red", form: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, form)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{text}"


def body(content: object = "What color is the van?", **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": content}]
    return {"model": NAME, "messages": messages, "max_tokens": 12, "temperature": 0, **more}


def ask(client: httpx.Client, content: object = "What is it?", **more: object) -> dict[str, object]:
    response = client.post("/chat/completions", json=body(content, **more))
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def text_of(answer: dict[str, object]) -> str:
    return str(answer["choices"][0]["message"]["content"])  # type: ignore[index]


def rejected(client: httpx.Client, status: int, sent: object) -> dict[str, str]:
    response = client.post("/chat/completions", json=sent)
    assert response.status_code == status, response.text
    error: dict[str, str] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def image_part(url: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_greedy_answers_equal_those_of_generate_in_transformers(
    client: httpx.Client, llava_folder: Path
) -> None:
    model = LlavaForConditionalGeneration.from_pretrained(llava_folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(llava_folder)
    for color, question in (("red", "What is it?"), ("blue", "车在哪里？"), ("white", "Is there")):
        shown = [
            ImageEvidence(data_url(color=color)),
            ImageEvidence(data_url((32, 32), "black", "WEBP")),
        ]
        messages = grounded_messages(question, [*shown, TextEvidence("HOTEL | 12")])
        response = client.post(
            "/chat/completions", json={"model": NAME, "messages": messages, "max_tokens": 16}
        )
        turns = []
        for message in messages:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            assert isinstance(parts, list)
            turns.append(
                {
                    "role": message["role"],
                    "content": [p if p["type"] == "text" else {"type": "image"} for p in parts],
                }
            )
        prompt = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        images = [Image.new("RGB", (32, 32), color), Image.new("RGB", (32, 32), "black")]
        inputs = processor(images=images, text=prompt, return_tensors="pt")
        output = model.generate(**inputs, do_sample=False, max_new_tokens=16)
        expected = processor.decode(
            output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        answer = response.json()
        assert text_of(answer) == expected
        assert answer["usage"]["prompt_tokens"] == inputs["input_ids"].shape[1]


def test_it_lists_its_model_and_reports_its_health(client: httpx.Client) -> None:
    models = client.get("/models").json()
    assert [model["id"] for model in models["data"]] == [NAME]
    health = str(client.base_url).removesuffix("/v1/") + "/health"
    assert httpx.get(health, trust_env=False).status_code == 200


def test_a_streamed_answer_equals_the_complete_one_and_ends_with_its_usage(
    client: httpx.Client,
) -> None:
    whole = ask(client, "车在哪里？")
    sent = body("车在哪里？", stream=True, stream_options={"include_usage": True})
    with client.stream("POST", "/chat/completions", json=sent) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant"}
    deltas = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
    assert "".join(deltas) == text_of(whole)
    assert chunks[-1]["usage"] == whole["usage"]
    assert chunks[-2]["choices"][0]["finish_reason"] in ("stop", "length")


def test_max_tokens_limits_the_answer(client: httpx.Client) -> None:
    answer = ask(client, max_tokens=3)
    assert answer["usage"]["completion_tokens"] <= 3  # type: ignore[index]


def test_the_answer_ends_before_a_stop_string(client: httpx.Client) -> None:
    free = text_of(ask(client, max_tokens=24))
    stop = free[2:4]
    answer = ask(client, max_tokens=24, stop=[stop])
    assert text_of(answer) == free[: free.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]


def test_log_probabilities_include_the_most_likely_alternatives(client: httpx.Client) -> None:
    answer = ask(client, max_tokens=4, logprobs=True, top_logprobs=3)
    tokens = answer["choices"][0]["logprobs"]["content"]  # type: ignore[index]
    assert len(tokens) in (3, 4)
    for token in tokens:
        top = [alternative["logprob"] for alternative in token["top_logprobs"]]
        assert len(top) == 3
        assert top == sorted(top, reverse=True)
        assert math.isclose(token["logprob"], top[0], abs_tol=1e-5)


def test_the_same_seed_gives_the_same_answer(client: httpx.Client) -> None:
    drawn = [text_of(ask(client, temperature=1.5, seed=seed)) for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_answer_follows_a_json_schema(client: httpx.Client) -> None:
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
    answer = ask(client, max_tokens=200, response_format=form, temperature=1, seed=1)
    value = json.loads(text_of(answer))
    assert value["color"] in ("red", "white")
    assert len(value["box"]) == 4


def test_the_answer_is_one_of_the_choices(client: httpx.Client) -> None:
    answer = ask(client, structured_outputs={"choice": ["是", "no"]})
    assert text_of(answer) in ("是", "no")
    assert answer["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]


def test_the_answer_matches_a_regular_expression(client: httpx.Client) -> None:
    assert text_of(ask(client, structured_outputs={"regex": "[0-9]{3}"})).isdigit()


@pytest.mark.parametrize("token_text", ["<image>", "<image><image>", "</s><|system|>", "<pad>"])
def test_special_tokens_in_the_text_are_escaped(client: httpx.Client, token_text: str) -> None:
    alone = ask(client, f"What is {token_text} here?")
    assert alone["usage"]["prompt_tokens"] < 40  # type: ignore[index]
    halves = [
        {"type": "text", "text": text} for text in ("What is ", token_text[:3], token_text[3:])
    ]
    assert ask(client, halves)["usage"]["prompt_tokens"] < 40  # type: ignore[index]
    ask(client, [{"type": "text", "text": token_text}, image_part(data_url())])


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
def test_only_data_urls_are_accepted(client: httpx.Client, url: str) -> None:
    error = rejected(client, 400, body([image_part(url)]))
    assert "data URL" in error["message"]


def test_broken_images_are_rejected(client: httpx.Client) -> None:
    cut = data_url((64, 64), form="JPEG")[:-400]
    for url in ("data:image/png;base64,###", "data:image/png;base64,aGVsbG8=", cut):
        assert rejected(client, 400, body([image_part(url)]))["type"] == "invalid_request_error"


def test_an_image_with_too_many_pixels_is_rejected(client: httpx.Client) -> None:
    error = rejected(client, 400, body([image_part(data_url((4000, 4000)))]))
    assert "16,000,000" in error["message"] or "4000 x 4000" in error["message"]


def test_too_many_images_are_rejected(client: httpx.Client) -> None:
    error = rejected(client, 400, body([image_part(data_url())] * 3))
    assert "At most 2 image(s)" in error["message"]


def test_a_large_body_is_rejected(client: httpx.Client) -> None:
    assert rejected(client, 413, body("x" * 400_000))["code"] == "body_too_large"


def test_an_unknown_model_is_an_error_with_the_served_one(client: httpx.Client) -> None:
    error = rejected(client, 404, {**body(), "model": "gpt-4"})
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
def test_invalid_fields_are_named(
    client: httpx.Client, sent: dict[str, object], param: str
) -> None:
    assert rejected(client, 400, {**body(), **sent})["param"] == param


def test_a_prompt_longer_than_the_context_is_rejected(client: httpx.Client) -> None:
    error = rejected(client, 400, body("What is it? " * 800))
    assert error["code"] == "context_length_exceeded"


def test_an_invalid_schema_is_rejected(client: httpx.Client) -> None:
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "banana"}}}
    assert rejected(client, 400, body(response_format=form))["param"] == "response_format"


def test_a_full_queue_rejects_requests_with_retry_after(llava_folder: Path) -> None:
    long = body(max_tokens=900, structured_outputs={"regex": "[a-z]{2000}"}, stream=True)
    with (
        run_server_in_thread(llava_folder, limits=RequestLimits(max_waiting_requests=0)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        with client.stream("POST", "/chat/completions", json=long) as first:
            lines = first.iter_lines()
            next(lines)
            refused = client.post("/chat/completions", json=body())
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["error"]["code"] == "queue_full"
        # The client has disconnected, so a slot is free again.
        while client.post("/chat/completions", json=body()).status_code == 429:
            pass


def test_generation_stops_when_the_client_disconnects(llava_folder: Path) -> None:
    long = body(max_tokens=900, structured_outputs={"regex": "[a-z]{2000}"})
    with (
        run_server_in_thread(llava_folder, limits=LIMITS) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        with pytest.raises(httpx.ReadTimeout):
            client.post("/chat/completions", json=long, timeout=0.2)
        began = time.monotonic()
        ask(client, max_tokens=1)
        soon = time.monotonic() - began
        began = time.monotonic()
        ask(client, max_tokens=900, structured_outputs={"regex": "[a-z]{2000}"})
        assert soon < time.monotonic() - began


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no model"), run_server_in_thread(tmp_path):
        pass


@pytest.mark.skipif(not (BUILTIN_VLM / "model.safetensors").exists(), reason="no built-in weights")
def test_the_built_in_model_answers_in_the_trained_format() -> None:
    shapes = letterbox(draw("shapes", seed_of("test", 3), "test").image)
    buffer = io.BytesIO()
    shapes.save(buffer, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    questions = ("How many shapes are there?", "一共有几个图形？", "Who made this?")
    with (
        run_server_in_thread() as base,
        httpx.Client(base_url=base, timeout=60, trust_env=False) as client,
    ):
        lines = []
        for question in questions:
            sent = {
                "model": "builtin-llava",
                "messages": grounded_messages(question, [ImageEvidence(url)]),
                "max_tokens": 32,
            }
            lines.append(text_of(client.post("/chat/completions", json=sent).json()))
    answers = [parse_answer(line) for line in lines]
    assert [answer.text.isdigit() for answer in answers[:2]] == [True, True], lines
    assert [answer.sources for answer in answers[:2]] == [(1,), (1,)]
    assert answers[2].status == "not shown"
