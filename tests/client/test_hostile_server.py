"""Every malformed reply of a server is a SightlineError that names what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from mcp.types import ImageContent

from sightline.client import ConnectionFailedError, Sightline, ToolCallError
from sightline.storage.errors import SightlineError
from tests.support.hostile_mcp import HostileMcp, run_hostile_mcp

#: Values of every JSON type, and numbers out of every range.
JUNK = ("text", "", 7, -1, 1.5, 10**400, True, [], [1], [None] * 4, {}, {"a": 1})
IMAGE_HIT = {
    "asset": "0k3j9x2m1abc",
    "score": 0.9,
    "source": "film.mp4",
    "collection": "album",
    "kind": "frame",
    "page": 1,
    "seconds": 3.5,
    "captured_at": "2026-05-01T16:40:00",
    "caption": "a rose",
    "text": {"passage": "p7", "kind": "ocr", "text": "EXIT", "box": [0, 0, 0.5, 0.5]},
    "box": [0, 0, 1, 1],
    "weak": True,
    "distance": 0.2,
    "duplicates": ["1k3j9x2m1abc"],
    "size": [640, 480],
    "metadata": {"line": 1},
}
TEXT_HIT = {
    "passage": "p7",
    "kind": "subtitle",
    "text": "Mind the gap",
    "source": "film.mp4",
    "collection": "album",
    "score": 0.5,
    "distance": 0.2,
    "asset": "0k3j9x2m1abc",
    "seconds": [1.5, 4.0],
    "box": [0, 0, 1, 1],
    "image": {"asset": "0k3j9x2m1abc", "page": 2, "metadata": {}, "size": [640, 480]},
}
PAGE = {
    "collection": "album",
    "notes": ["n"],
    "next_cursor": "c",
    "total": 9,
    "timings_ms": {"fuse": 1.0},
    "reranked": False,
}
Call = Callable[[Sightline], Any]


def use_images(sightline: Sightline) -> None:
    """Search in every way, and use all values of the hits."""
    page = sightline.search_images("a rose")
    assert all(hit.fields() for hit in page)
    assert list(page.notes) == page.notes
    sightline.image_retriever().retrieve("a rose")
    sightline.langchain_image_retriever().invoke("a rose")


def use_passages(sightline: Sightline) -> None:
    assert all(hit.fields() for hit in sightline.search_text("a gap"))
    sightline.passage_retriever().retrieve("a gap")
    sightline.langchain_passage_retriever().invoke("a gap")


SEARCHES: list[tuple[Call, dict[str, Any]]] = [(use_images, IMAGE_HIT), (use_passages, TEXT_HIT)]
CALLS: list[Call] = [
    use_images,
    use_passages,
    lambda sightline: sightline.list_collections(),
    lambda sightline: sightline.view_image("0k3j9x2m1abc"),
    lambda sightline: sightline.read_text(asset="0k3j9x2m1abc"),
    lambda sightline: sightline.answer_question("what?"),
]


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileMcp]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(run_hostile_mcp()) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def sightline(hostile: HostileMcp) -> Iterator[Sightline]:
    with Sightline(hostile.url, timeout_seconds=60) as opened:
        yield opened


def changes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield copies of JSON with one value replaced or left out, each with the place."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        rest = {name: each for name, each in value.items() if name != key}
        yield f"{key} missing", rest
        for junk in JUNK:
            yield f"{key}={str(junk)[:20]}", {**rest, key: junk}
        for place, changed in changes(inner):
            yield f"{key}.{place}", {**rest, key: changed}


@pytest.mark.parametrize(("search", "hit"), SEARCHES)
def test_a_malformed_search_result_gives_hits_or_an_error_with_its_place(
    hostile: HostileMcp, sightline: Sightline, search: Call, hit: dict[str, Any]
) -> None:
    complete = {**PAGE, "hits": [hit]}
    hostile.reply(json.dumps(complete))
    search(sightline)
    refused = []
    replies = [("hits." + place, {**PAGE, "hits": [each]}) for place, each in changes(hit)]
    replies += [(place, each) for place, each in changes(complete) if not place.startswith("hits.")]
    replies += [(f"hits={junk}", {"hits": [junk]}) for junk in JUNK]
    for place, reply in replies:
        hostile.reply(json.dumps(reply))
        try:
            search(sightline)
        except ToolCallError as error:
            refused.append((place.partition("=")[0].removesuffix(" missing"), str(error)))
    assert len(refused) > len(replies) / 2
    for place, message in refused:
        assert place in message.replace(".0.", ".")
        assert "Is this a Sightline server of this version?" in message
        assert len(message) < 400


MALFORMED_TEXTS = {
    "": "no JSON",
    "hello": "no JSON",
    "[1]": "no JSON object",
    "null": "no JSON object",
    '{"hits": NaN}': "no JSON",
    '{"hits": [' * 50_000: "no JSON",
    '{"score": ' + "9" * 5_000 + "}": "no JSON",
    r'{"hits": "\ud800"}': "no JSON",
    '{"hits": []': "no JSON",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_text_that_is_no_json_object_is_an_error(
    hostile: HostileMcp, sightline: Sightline, call: Call
) -> None:
    for text, problem in MALFORMED_TEXTS.items():
        hostile.reply(text)
        with pytest.raises(ToolCallError, match=f"The reply of [a-z_]+ is {problem}"):
            call(sightline)


@pytest.mark.parametrize(
    ("reply", "place"),
    [({}, "collections"), ({"collections": 1}, "collections"), ({"collections": [1]}, "0")],
)
def test_malformed_collections_are_an_error(
    hostile: HostileMcp, sightline: Sightline, reply: Any, place: str
) -> None:
    hostile.reply(json.dumps(reply))
    with pytest.raises(ToolCallError, match=rf"list_collections is malformed: .*{place}"):
        sightline.list_collections()


@pytest.mark.parametrize("data", ["!!!!", "AAA", "AA=A", "ä", "AAAA AAAA"])
def test_an_image_that_is_not_base64_is_an_error(
    hostile: HostileMcp, sightline: Sightline, data: str
) -> None:
    hostile.reply("{}", ImageContent(type="image", data=data, mime_type="image/jpeg"))
    with pytest.raises(ToolCallError, match="view_image has an image that is not base64"):
        sightline.view_image("0k3j9x2m1abc")


def test_a_view_without_an_image_is_an_error(hostile: HostileMcp, sightline: Sightline) -> None:
    hostile.reply("{}")
    with pytest.raises(ToolCallError, match="The reply of view_image has no image"):
        sightline.view_image("0k3j9x2m1abc")


def rpc(result: Any) -> bytes:
    return b'{"jsonrpc": "2.0", "id": {id}, "result": %s}' % json.dumps(result).encode()


JSON, EVENTS = "application/json", "text/event-stream"
NO_MCP = [
    (b"", JSON, "Invalid JSON"),
    (b"<html>", "text/html", "Unexpected content type: text/html"),
    (b"<html>", JSON, "Invalid JSON"),
    (b"[]", JSON, "Input should be an object"),
    (b"[" * 100_000, JSON, "recursion limit exceeded"),
    (b"\xff\xfe", JSON, "Invalid JSON"),
    (b"data: {\n\n", EVENTS, "Failed to parse SSE message"),
    (b'{"jsonrpc": "1.0", "id": {id}, "result": {}}', JSON, "jsonrpc"),
    (b'{"jsonrpc": "2.0", "id": {id}}', JSON, "Field required"),
    (b'{"jsonrpc": "2.0", "id": {id}, "error": {}}', JSON, "Field required"),
    (b'{"jsonrpc": "2.0", "id": {id}, "error": {"code": -1, "message": "no"}}', JSON, "^no$"),
    (rpc([]), JSON, "Failed to parse JSON"),
]
NO_RESULT = [
    (rpc({}), "content: Field required"),
    (rpc({"content": 1}), "content: Input should be a valid list"),
    (rpc({"content": [{}]}), "content.0"),
    (rpc({"content": [{"type": "hologram"}]}), "content.0"),
    (rpc({"content": [{"type": "text", "text": 1}]}), "text: Input should be a valid string"),
    (rpc({"content": [], "isError": "perhaps"}), "isError: Input should be a valid boolean"),
    (rpc({"resultType": "x", "inputRequests": 5}), "content: Field required"),
]


def test_a_response_that_is_no_mcp_is_an_error(hostile: HostileMcp, sightline: Sightline) -> None:
    results = [(body, JSON, f"the reply is no MCP: .*{problem}") for body, problem in NO_RESULT]
    for body, content_type, problem in NO_MCP + results:
        with (
            hostile.respond(body, content_type),
            pytest.raises(ToolCallError, match=problem) as caught,
        ):
            sightline.call("read_text")
        assert len(str(caught.value)) < 2_000


def test_a_server_that_speaks_no_mcp_cannot_be_opened(hostile: HostileMcp) -> None:
    methods = ("server/discover", "initialize")
    wrong = [(rpc(each), JSON) for each in JUNK]
    for body, content_type in [each[:2] for each in NO_MCP] + wrong:
        with hostile.respond(body, content_type, methods), pytest.raises(SightlineError):
            Sightline(hostile.url, timeout_seconds=60).open()


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("methods", [("tools/call",), ("server/discover", "initialize")])
def test_a_reply_without_end_is_an_error_with_the_limit(
    hostile: HostileMcp, is_compressed: bool, methods: tuple[str, ...]
) -> None:
    def read() -> None:
        with Sightline(hostile.url, timeout_seconds=60) as sightline:
            sightline.call("read_text")

    with (
        hostile.respond_without_end(methods, is_compressed=is_compressed),
        pytest.raises(SightlineError, match="more than 16,000,000 bytes, the limit"),
    ):
        read()


def test_a_session_goes_on_after_a_reply_that_is_too_large(
    hostile: HostileMcp, sightline: Sightline
) -> None:
    with hostile.respond_without_end(("tools/call",)), pytest.raises(ToolCallError):
        sightline.call("read_text")
    hostile.reply("{}")
    assert sightline.call("read_text").data == {}


def test_the_timeout_limits_the_connection_and_not_each_of_its_requests(
    hostile: HostileMcp,
) -> None:
    with (
        hostile.never_respond(("server/discover", "initialize")),
        pytest.raises(ConnectionFailedError, match=r"did not complete the connection in 0\.5 s"),
    ):
        Sightline(hostile.url, timeout_seconds=0.5).open()
    assert hostile.unanswered == ["server/discover"]
