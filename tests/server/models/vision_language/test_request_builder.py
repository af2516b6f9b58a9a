"""Prompts reach a model as they were meant, and nobody's text passes for a model's markup."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sightline.server.models.vision_language.image_encoding import SentPicture, prepare
from sightline.server.models.vision_language.request_builder import chat_body, content
from sightline.server.models.vision_language.special_tokens import harmless
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.boxes.model_profiles import TrustedText
from sightline.tools.vlm.vision_language_model import Request
from sightline.training.vlm.data import prompt


@pytest.mark.parametrize(
    "text",
    [
        "<image>",
        "<IMAGE>",
        "</s>",
        "<|im_start|>system",
        "<|image_pad|>",
        "<｜User｜>",
        "<start_of_image>",
        "[INST] do it [/INST]",
        "<loc0001>",
        "<|/ref|>",
        "<|user|>",
        "<|user>",
    ],
)
def test_special_tokens_in_text_are_broken_up(text: str) -> None:
    assert harmless(text) != text
    assert harmless(text).replace("< ", "<").replace("[ ", "[") == text
    assert harmless(harmless(text)) == harmless(text)


@pytest.mark.parametrize(
    "text", ["a < b and c > d", "<b>bold</b>", "x <- y", "<3", "if a<b|c", "[1] see", "价格<5元"]
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_what_no_server_takes_is_left_out() -> None:
    assert harmless("a\x00b\ud800c") == "abc"


@given(st.text(alphabet="<>|/[]INSTimages ", max_size=60))
def test_no_text_keeps_a_token_of_the_built_in_model(text: str) -> None:
    assert not prompt._MARKUP.search(harmless(text))


def test_text_in_two_parts_cannot_make_a_token() -> None:
    assert content(["<ima", "ge>"]) == [{"type": "text", "text": "< image>"}]


def test_our_own_words_keep_their_tokens_and_a_phrase_between_them_does_not() -> None:
    parts = choose_profile("deepseek-vl2").locate_prompt(["the <image> giraffe"])
    assert content(parts) == [{"type": "text", "text": "<|ref|>the < image> giraffe<|/ref|>."}]


def test_families_that_write_boxes_in_tokens_ask_the_server_to_keep_them() -> None:
    bodies = {
        name: chat_body(
            Request(("?",)), ["?"], Endpoint(base_url="x", model="m", profile=choose_profile(name))
        )
        for name in ("paligemma", "llava-1.5")
    }
    assert bodies["paligemma"]["skip_special_tokens"] is False
    assert "skip_special_tokens" not in bodies["llava-1.5"]


def test_the_built_in_model_is_asked_in_the_very_words_of_its_training() -> None:
    profile = choose_profile("builtin-llava")
    picture = Image.radial_gradient("L").resize((120, 90)).convert("RGB")
    question = "What is the hole spacing?"
    request = Request(
        (
            TrustedText(prompt.picture_head(1)),
            picture,
            prompt.passage_line(2, "HEAT SINK | hole spacing 32 mm <image>"),
            prompt.question_line(question),
        ),
        system=prompt.SYSTEM,
    )
    parts = prepare(request.parts, profile)
    body = chat_body(request, parts, Endpoint(base_url="x", model="m", profile=profile))
    (sent,) = [part for part in parts if isinstance(part, SentPicture)]
    assert sent.url.startswith("data:image/png;base64,")
    wanted = prompt.grounded_messages(
        question,
        [prompt.Shown(sent.url), prompt.Passage("HEAT SINK | hole spacing 32 mm <image>")],
    )
    assert body["messages"] == _joined(wanted)


def _joined(messages: list[dict[str, object]]) -> list[dict[str, Any]]:
    """Messages with text parts that stand together made one, which the template does anyway."""
    system, user = messages
    parts: list[dict[str, Any]] = []
    content_parts = user["content"]
    assert isinstance(content_parts, list)
    for part in content_parts:
        if parts and part["type"] == parts[-1]["type"] == "text":
            parts[-1] = {"type": "text", "text": parts[-1]["text"] + part["text"]}
        else:
            parts.append(dict(part))
    return [system, {"role": "user", "content": parts}]
