from __future__ import annotations

from typing import Any

from PIL import Image

from sightline.server.models.vision_language.request_builder import (
    SentImage,
    build_chat_request,
    build_content,
    prepare_parts,
)
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.boxes.model_profiles import TrustedText
from sightline.tools.vlm.vision_language_model import Request
from sightline.training.vlm.data import prompt


def test_two_text_parts_cannot_form_a_special_token() -> None:
    assert build_content(["<ima", "ge>"]) == [{"type": "text", "text": "< image>"}]


def test_trusted_text_keeps_its_tokens_and_a_phrase_in_it_is_escaped() -> None:
    parts = choose_profile("deepseek-vl2").locate_prompt(["the <image> giraffe"])
    assert build_content(parts) == [
        {"type": "text", "text": "<|ref|>the < image> giraffe<|/ref|>."}
    ]


def test_families_with_box_tokens_ask_the_server_to_keep_special_tokens() -> None:
    bodies = {
        name: build_chat_request(
            Request(("?",)),
            ["?"],
            VlmEndpoint(base_url="x", model="m", profile=choose_profile(name)),
        )
        for name in ("paligemma", "llava-1.5")
    }
    assert bodies["paligemma"]["skip_special_tokens"] is False
    assert "skip_special_tokens" not in bodies["llava-1.5"]


def test_the_prompt_of_the_built_in_model_equals_its_training_prompt() -> None:
    profile = choose_profile("builtin-llava")
    image = Image.radial_gradient("L").resize((120, 90)).convert("RGB")
    question = "What is the hole spacing?"
    request = Request(
        (
            TrustedText(prompt.image_header(1)),
            image,
            prompt.format_passage(2, "HEAT SINK | hole spacing 32 mm <image>"),
            prompt.format_question(question),
        ),
        system=prompt.SYSTEM,
    )
    parts = prepare_parts(request.parts, profile)
    body = build_chat_request(request, parts, VlmEndpoint(base_url="x", model="m", profile=profile))
    (sent,) = [part for part in parts if isinstance(part, SentImage)]
    assert sent.url.startswith("data:image/png;base64,")
    expected = prompt.grounded_messages(
        question,
        [
            prompt.ImageEvidence(sent.url),
            prompt.TextEvidence("HEAT SINK | hole spacing 32 mm <image>"),
        ],
    )
    assert body["messages"] == _joined(expected)


def _joined(messages: list[dict[str, object]]) -> list[dict[str, Any]]:
    """Join adjacent text parts, as the chat template does."""
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
