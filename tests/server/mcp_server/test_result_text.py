from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import CallToolResult, ImageContent, TextContent

from sightline.server.mcp_server.result_text import NOTES, clean_result, clean_text
from sightline.storage.text.hidden_characters import remove_and_count_hidden
from sightline.tools.registry import RESULTS

IMAGE = ImageContent(type="image", data="aGk=", mime_type="image/jpeg")


def result(data: dict[str, object]) -> CallToolResult:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data)


def with_image(data: dict[str, object]) -> CallToolResult:
    content = [*result(data).content, IMAGE]
    return CallToolResult(content=content)


def test_every_tool_has_a_field_for_the_note() -> None:
    assert len(RESULTS) >= 10
    for tool, model in RESULTS.items():
        assert NOTES in model.model_fields, tool


def test_a_result_without_hidden_characters_is_the_same() -> None:
    given_result = result({"hits": [{"text": "می\u200cخواهم\n"}], "notes": ["a note"]})
    assert clean_result(given_result) is given_result


def test_the_text_of_a_result_with_images_is_cleaned_too() -> None:
    cleaned = clean_result(with_image({"hits": [{"text": "a\u200bb"}]}))
    assert cleaned.structured_content is None
    text, image = cleaned.content
    assert isinstance(text, TextContent)
    data = json.loads(text.text)
    assert data["hits"] == [{"text": "ab"}]
    assert data["notes"][0].endswith("were removed: 1 in hits.text")
    assert image is IMAGE


def test_the_note_names_fields_and_follows_the_other_notes() -> None:
    cleaned = clean_result(
        result(
            {
                "notes": ["a note"],
                "hits": [
                    {"text": "a\u200bb\x1b"},
                    {"text": "\u202e", "size": [1, 2.5, None, True]},
                ],
                "metadata": {"k\u200b": {"x\u200b": "\u200b"}},
            }
        )
    )
    data = cleaned.structured_content
    assert data is not None
    assert data["hits"] == [{"text": "ab"}, {"text": "", "size": [1, 2.5, None, True]}]
    assert data["metadata"] == {"k": {"x": ""}}
    first, note = data["notes"]
    assert first == "a note"
    assert note.endswith("were removed: 3 in hits.text, 3 in metadata")
    (text,) = cleaned.content
    assert isinstance(text, TextContent)
    assert json.loads(text.text) == data


def test_no_value_is_lost_if_keys_become_equal() -> None:
    data = {"a": 1, "a\u200b": 2, "a (2)": 3, "\u200ba": 4, "\u200b": 5, "\ufeff": 6}
    cleaned = clean_result(result({"metadata": data})).structured_content
    assert cleaned is not None
    expected = {"a": 1, "a (3)": 2, "a (2)": 3, "a (4)": 4, "": 5, " (2)": 6}
    assert cleaned["metadata"] == expected


def test_errors_and_resources_are_cleaned() -> None:
    error = CallToolResult(content=[TextContent(type="text", text="no \x1b[2Jx")], is_error=True)
    (block,) = clean_result(error).content
    assert isinstance(block, TextContent)
    assert block.text == "no [2Jx"
    assert clean_text("a\u202eb", "text/plain") == "ab"
    assert json.loads(clean_text('{"name": "a\\u202eb"}', "application/json"))["name"] == "ab"


@pytest.mark.parametrize("seed", ["\u200b", "\x1b", "\U000e0041", ""])
@given(
    data=st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_text_and_structure_agree_and_show_nothing_hidden(
    seed: str, data: dict[str, object]
) -> None:
    data.pop(NOTES, None)
    cleaned = clean_result(result({f"a{seed}": seed, "data": data}))
    text = cleaned.content[0]
    assert isinstance(text, TextContent)
    assert remove_and_count_hidden(text.text) == (text.text, 0)
    assert json.loads(text.text) == cleaned.structured_content
