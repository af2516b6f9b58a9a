"""Hits in plain values from the JSON of tools."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from mcp.types import CallToolResult, ImageContent, TextContent

from sightline.client.tool_replies import (
    ToolCallError,
    image_page,
    parse_reply,
    text_page,
    to_results,
)


def result(*texts: str, image: bytes = b"", is_error: bool = False) -> CallToolResult:
    content: list[TextContent | ImageContent] = [
        TextContent(type="text", text=text) for text in texts
    ]
    if image:
        data = base64.b64encode(image).decode()
        content.append(ImageContent(type="image", data=data, mime_type="image/jpeg"))
    return CallToolResult(content=[*content], is_error=is_error)


def test_a_reply_has_the_json_of_the_first_block_and_the_images() -> None:
    reply = parse_reply("view_image", result('{"a":1}', "more", image=b"JPEG"))
    assert (reply.data, reply.images) == ({"a": 1}, [b"JPEG"])


def test_an_error_has_the_text_of_the_tool() -> None:
    with pytest.raises(ToolCallError, match=r"^Unknown collection 'x'\.$"):
        parse_reply("search_text", result("Unknown collection 'x'.", is_error=True))
    with pytest.raises(ToolCallError, match="search_text failed without a message"):
        parse_reply("search_text", result(is_error=True))


@pytest.mark.parametrize("texts", [(), ("hello",), ("[1]",)])
def test_a_reply_of_another_server_is_an_error(texts: tuple[str, ...]) -> None:
    with pytest.raises(ToolCallError, match="Is this a Sightline server"):
        parse_reply("search_text", result(*texts))


@pytest.mark.parametrize("data", [{}, {"hits": 1}, {"hits": [1]}, {"hits": [{"asset": "a"}]}])
def test_hits_of_another_server_are_an_error(data: dict[str, Any]) -> None:
    for parse in (image_page, text_page):
        with pytest.raises(ToolCallError, match="Is this a Sightline server"):
            parse(data)


def test_an_image_hit_has_caption_passage_and_the_shared_collection() -> None:
    hit = {
        "asset": "0k3j9x2m1abc",
        "number": 1,
        "score": 0.9,
        "source": "film.mp4",
        "kind": "frame",
        "seconds": 3.5,
        "captured_at": "2026-05-01T16:40:00",
        "caption": "a rose",
        "text": {"passage": "p7", "kind": "ocr", "text": "EXIT", "box": [0, 0, 0.5, 0.5]},
        "weak": True,
        "duplicates": ["1k3j9x2m1abc"],
        "size": [640, 480],
    }
    data = {"hits": [hit], "collection": "album", "notes": ["n"], "next_cursor": "c", "total": 9}
    page = image_page(data)
    (found,) = page
    assert (page.notes, page.next_cursor, page.total, len(page)) == (["n"], "c", 9, 1)
    assert page[0] is found
    assert (found.id, found.text) == ("0k3j9x2m1abc", "a rose\nEXIT")
    assert found.fields() == {
        "asset": "0k3j9x2m1abc",
        "source": "film.mp4",
        "collection": "album",
        "kind": "frame",
        "seconds": 3.5,
        "box": [0, 0, 0.5, 0.5],
        "captured_at": "2026-05-01T16:40:00",
        "weak": True,
        "caption": "a rose",
        "passage": "p7",
        "size": [640, 480],
        "duplicates": ["1k3j9x2m1abc"],
        "uri": "sightline://asset/0k3j9x2m1abc",
    }
    results = to_results(page)
    assert results.hits == (found,)
    assert (results.report.notes, results.report.next_cursor) == (("n",), "c")


@pytest.mark.parametrize(
    ("seconds", "expected"), [([1.5, 4.0], (1.5, 4.0)), ([1.5], (1.5, None)), (None, (None, None))]
)
def test_a_text_hit_has_its_times_and_the_fields_of_its_image(
    seconds: list[float] | None, expected: tuple[float | None, float | None]
) -> None:
    hit = {
        "number": 1,
        "passage": "p7",
        "kind": "subtitle",
        "text": "Mind the gap",
        "source": "film.mp4",
        "collection": "album",
        "score": 0.5,
        "asset": "0k3j9x2m1abc",
        "image": {
            "asset": "0k3j9x2m1abc",
            "source": "film.mp4",
            "page": 2,
            "metadata": {"line": 1},
            "size": [640, 480],
        },
        **({} if seconds is None else {"seconds": seconds}),
    }
    (found,) = text_page({"hits": [hit]})
    assert (found.id, found.passage, found.text) == ("p7", "p7", "Mind the gap")
    assert (found.seconds, found.end_seconds) == expected
    assert (found.asset, found.page, found.size) == ("0k3j9x2m1abc", 2, (640, 480))
    assert found.metadata == {"line": 1}
