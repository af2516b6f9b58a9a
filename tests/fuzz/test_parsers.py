"""Parsers of hostile text return a value or raise a SightlineError."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sightline.server.models.vision_language.reply_text import parse_answer_json, parse_choice
from sightline.server.models.vision_language.response_parser import (
    parse_completion,
    parse_error_message,
    parse_models,
)
from sightline.storage.errors import InvalidArgumentError, MediaError, ModelError
from sightline.storage.ingest.decode.worker.documents.web_page import read_web_page
from sightline.storage.ingest.decode.worker.media.subtitles import join_sentences, parse_subtitles
from sightline.storage.ingest.decode.worker.text_files import parse_rows
from sightline.storage.ingest.discover.caption_tables import parse_caption_table
from sightline.storage.ingest.discover.sidecars import parse_mapping, parse_sidecar
from sightline.storage.ingest.metadata.capture_time import from_filename, from_tag, from_text
from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_DESCRIPTION_CHARS,
    MAX_KEYWORDS,
    TimeTag,
)
from sightline.storage.ingest.metadata.iptc_tags import read_iptc
from sightline.storage.ingest.metadata.picture_metadata import read_picture_metadata
from sightline.storage.ingest.metadata.video_tags import read_video_tags
from sightline.storage.ingest.metadata.xmp_packet import read_xmp
from sightline.storage.retrieval import ImageRequest
from sightline.storage.retrieval.filters import filter_language
from sightline.storage.retrieval.request_validation import (
    decode_cursor,
    encode_cursor,
    request_digest,
)
from sightline.storage.text.analyzer import analyze
from sightline.tools.boxes.box_parser import parse_boxes
from sightline.tools.boxes.model_families import FAMILIES
from sightline.tools.boxes.model_profiles import Profile
from tests.fuzz.inputs import TEXTS, few_and_many, values
from tests.support.sample_images import png_chunk

KEY = b"a key of the fuzzing"
#: Pieces of model responses; random combinations are almost valid.
PIECES = (
    *("[", "]", "{", "}", "(", ")", ",", ":", '"', "'", "<", ">", "|", "\\", "`", "```json\n", " "),
    *("0", "100", "999.9", "-3", "1e400", "0.5", "NaN", "Infinity", "null", "true", "label"),
    *(
        '"bbox_2d"',
        '"box_2d"',
        '"label"',
        '"point"',
        "<box>",
        "</box>",
        "<ref>",
        "</ref>",
        "<loc0012>",
    ),
    *(
        "<|box_start|>",
        "<|box_end|>",
        "<|object_ref_start|>",
        "<bbox>",
        "<point x='3' y='4'>",
        "<seg>",
    ),
    *("<patch_index_0044>", "<grounding>", "<object>", "car", "车", "\ud800", "\0", "\u202e", "\n"),
    *('"choices"', '"message"', '"content"', '"logprobs"', '"usage"', '"finish_reason"', '"error"'),
)


def tries(count: int, strategy: st.SearchStrategy[Any], attempt: Callable[[Any], object]) -> None:
    """Call ``attempt`` with ``count`` deterministic inputs."""

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(value: Any) -> None:
        attempt(value)

    each()


def nearly() -> st.SearchStrategy[str]:
    """Return text that is almost valid."""
    pieces = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
    return pieces | st.text() | st.sampled_from(TEXTS) | values().map(_dumped)


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@few_and_many(60)
def test_boxes(count: int) -> None:
    def attempt(given: tuple[str, Profile]) -> None:
        text, profile = given
        found = parse_boxes(text, profile, profile.place((640, 480)))
        assert found.raw == text
        for mark in found.boxes:
            x0, y0, x1, y1 = mark.box
            assert 0 <= x0 <= x1 <= 1
            assert 0 <= y0 <= y1 <= 1
            assert mark.is_point or (x0 < x1 and y0 < y1)

    families = st.sampled_from(list(FAMILIES))
    tries(count, st.tuples(nearly(), families), attempt)


@few_and_many(60)
def test_replies_of_models(count: int) -> None:
    message = st.fixed_dictionaries({"content": values()}, optional={"refusal": values()})
    choice = st.fixed_dictionaries(
        {"message": message | values()},
        optional={"finish_reason": values(), "logprobs": values()},
    )
    completions = st.fixed_dictionaries(
        {"choices": st.lists(choice, max_size=2) | values()},
        optional={"usage": values(), "error": values(), "data": values()},
    ).map(_dumped)

    def attempt(text: str) -> None:
        for read in (parse_completion, parse_models):
            with suppress(ModelError):
                read(_bytes(text))
        assert len(parse_error_message(_bytes(text))) < 2_000
        parse_answer_json(text)
        found = parse_choice(text, ["yes", "no"])
        assert found is None or text[found[1] :].casefold().startswith(("yes", "no"))

    tries(count, completions | nearly(), attempt)


@few_and_many(40)
def test_filters(count: int) -> None:
    operators = st.sampled_from(
        (*filter_language.OPERATORS, "between", "and", "or", "not", "time_of_day", "kind")
    )
    filter_ = st.recursive(
        values(), lambda inner: st.dictionaries(operators | st.text(), inner, max_size=3)
    )

    def attempt(value: Any) -> None:
        with suppress(InvalidArgumentError):
            filter_language.parse(value)

    tries(count, st.dictionaries(operators | st.text(), filter_, max_size=4), attempt)


@few_and_many(20)
def test_cursors(count: int) -> None:
    digest = request_digest(ImageRequest(query="x"))
    whole = encode_cursor(KEY, 10, digest)

    def attempt(given: tuple[str, int]) -> None:
        text, at = given
        at %= len(whole)
        for cursor in (text, whole[:at] + text + whole[at:], whole[:at] + text):
            if cursor != whole:
                with suppress(InvalidArgumentError):
                    assert decode_cursor(KEY, cursor, digest) == 10
                    # Base64 has unused bits: another spelling of the same bytes.
                    assert len(cursor) == len(whole)

    tries(count, st.tuples(st.text(max_size=3) | st.sampled_from(TEXTS), st.integers(0)), attempt)


@few_and_many(40)
def test_tables_sidecars_and_times(count: int) -> None:
    noted: list[tuple[str, str, str]] = []

    def note(code: str, name: str, reason: str) -> None:
        noted.append((code, name, reason))

    def attempt(given: tuple[str, object]) -> None:
        text, value = given
        data = _bytes(text)
        for name in ("metadata.jsonl", "metadata.csv", "captions.csv", "metadata.tsv"):
            for content in (data, b"file_name,text\n" + data, _bytes(_dumped(value))):
                parse_caption_table(name, content, 10_000, note)
        for name in ("a.txt", "a.json", "a.srt", "a.vtt"):
            with suppress(ValueError, MediaError):
                parse_sidecar(name, data)
        for said in ({"caption": value}, {"metadata": value}, {"captured_at": value}, value):
            if isinstance(said, dict):
                with suppress(ValueError):
                    parse_mapping(said)
        with suppress(ValueError):
            from_text(text, UTC)
        from_tag(TimeTag(text, offset=text), UTC)
        from_tag(TimeTag(text, is_utc=True), UTC)
        from_filename(text, UTC)

    tries(count, st.tuples(nearly(), values()), attempt)
    assert all(len(reason) < 2_000 for _, _, reason in noted)


@few_and_many(40)
def test_embedded_metadata_is_bounded(count: int) -> None:
    """Whatever a file contains, its metadata has the sizes that may be stored."""
    blocks = st.tuples(
        st.sampled_from((b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"\x1c\x02\x19\0\x02", b"")),
        st.binary(max_size=200),
        nearly(),
    )

    def attempt(given: tuple[bytes, bytes, str]) -> None:
        start, data, text = given
        found = [read_iptc(start + data), read_video_tags({"date": text, "location": text})]
        with suppress(ValueError):
            found.append(read_xmp(_bytes(text)))
        with suppress(MediaError, OSError):
            picture = b"\x89PNG\r\n\x1a\n" + png_chunk(b"eXIf", start + data)
            picture += png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + _bytes(text)) + data
            found.append(read_picture_metadata(picture, Image.Image))
        for each in found:
            once = each.bounded()
            assert len(once.description or "") <= MAX_DESCRIPTION_CHARS
            assert len(once.keywords) <= MAX_KEYWORDS
            for time in once.times:
                from_tag(time, UTC)

    tries(count, blocks, attempt)


@few_and_many(40)
def test_documents_and_their_words(count: int) -> None:
    pieces = (
        *(
            "<p>",
            "</p>",
            "<script>",
            "</script>",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "&#0;",
            "&amp;",
        ),
        *("&#xd800;", "<a href='", "<table><tr><td>", "\n\n", "-->", "00:00:01,000", " --> "),
        *(
            '"',
            '""',
            ",",
            "\t",
            "\r",
            "{",
            "}",
            '{"a":',
            "1",
            "词",
            "word",
            "\u202e",
            "\0",
            "\ud800",
        ),
    )
    text = st.lists(st.sampled_from(pieces), max_size=60).map("".join) | nearly()

    def attempt(text: str) -> None:
        analysed = analyze(text)
        assert "\0" not in analysed.tsvector
        text = text.encode("utf-8", "replace").decode()  # files are decoded earlier
        list(join_sentences(parse_subtitles(text)))
        with suppress(MediaError):
            list(read_web_page(text).blocks)
        for suffix in (".csv", ".tsv", ".jsonl"):
            with suppress(MediaError):
                for row in parse_rows(text, suffix, 1_000):
                    assert row.chars is not None
                    assert 0 <= row.chars[0] <= row.chars[1]

    tries(count, text, attempt)
