"""Variants of arguments that models and frameworks send are accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sightline.server.mcp_server.call_arguments import (
    MAX_DEPTH,
    MAX_TEXT_VALUES,
    normalize_arguments,
    reject_bad_values,
)
from sightline.storage.errors import InvalidArgumentError

SCHEMA = {
    "type": "object",
    "required": ["asset"],
    "properties": {
        "asset": {"type": "string"},
        "query": {"type": "string"},
        "limit": {"type": "integer"},
        "deep": {"type": "boolean"},
        "detail": {"type": "string", "enum": ["concise", "detailed"]},
        "filters": {"type": "object"},
        "like": {"type": "array", "items": {"type": "string"}},
        "style": {"type": "string", "enum": ["box", "corners", "shade"]},
        "kinds": {
            "type": "array",
            "items": {"type": "string", "enum": ["caption", "page_text", "subtitle"]},
        },
        "crop": {"type": "array", "items": {"type": "number"}},
        "boxes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["box"],
                "properties": {
                    "box": {"type": "array", "items": {"type": "number"}},
                    "label": {"type": "string"},
                },
            },
        },
    },
}
BOX = [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"query": None, "limit": None, "deep": None, "detail": None, "filters": None}, {}),
        ({"like": None, "crop": None, "boxes": None}, {}),
        ({"limit": "", "filters": " ", "like": "", "crop": "", "boxes": "", "deep": ""}, {}),
        ({"query": ""}, {"query": ""}),
        ({"query": "null"}, {"query": "null"}),
        ({"query": '["a"]'}, {"query": '["a"]'}),
        ({"like": "3k9q0d7m2x5a"}, {"like": ["3k9q0d7m2x5a"]}),
        ({"like": '["a", "b"]'}, {"like": ["a", "b"]}),
        ({"like": "[not JSON"}, {"like": ["[not JSON"]}),
        ({"filters": '{"price": {"lte": 5}}'}, {"filters": {"price": {"lte": 5}}}),
        ({"filters": {"price": None}}, {"filters": {"price": None}}),
        ({"crop": json.dumps(BOX)}, {"crop": BOX}),
        ({"crop": 0.5}, {"crop": 0.5}),
        ({"boxes": {"box": BOX, "label": None}}, {"boxes": [{"box": BOX}]}),
        ({"boxes": [json.dumps({"box": BOX})]}, {"boxes": [{"box": BOX}]}),
        ({"boxes": [{"box": None}]}, {"boxes": [{"box": None}]}),
        ({"detail": " Detailed"}, {"detail": "detailed"}),
        ({"detail": "long"}, {"detail": "long"}),
        ({"query": ["shop"]}, {"query": "shop"}),
        ({"query": ["shop", "yard"]}, {"query": ["shop", "yard"]}),
        ({"query": [["shop"]]}, {"query": [["shop"]]}),
        ({"detail": ["Concise"]}, {"detail": "concise"}),
        ({"style": "boxes"}, {"style": "box"}),
        ({"style": "Corner"}, {"style": "corners"}),
        ({"style": "s"}, {"style": "s"}),
        ({"kinds": "subtitles"}, {"kinds": ["subtitle"]}),
        ({"kinds": ["Captions", "page text"]}, {"kinds": ["caption", "page_text"]}),
        ({"kinds": '["Page-Text"]'}, {"kinds": ["page_text"]}),
        ({"kinds": ["text"]}, {"kinds": ["text"]}),
        ({"crop": "0.1,0.2, 0.3 0.4"}, {"crop": BOX}),
        ({"crop": "(0.1, 0.2, 0.3, 0.4)"}, {"crop": BOX}),
        ({"crop": "[0.1 0.2 0.3 0.4]"}, {"crop": BOX}),
        ({"crop": "left half"}, {"crop": "left half"}),
        ({"crop": ["0.1,0.2"]}, {"crop": ["0.1,0.2"]}),
        ({"filters": "1, 2"}, {"filters": "1, 2"}),
        ({"boxes": BOX}, {"boxes": [{"box": BOX}]}),
        ({"boxes": [BOX, BOX]}, {"boxes": [{"box": BOX}, {"box": BOX}]}),
        ({"boxes": json.dumps([BOX])}, {"boxes": [{"box": BOX}]}),
        ({"boxes": "0.1,0.2,0.3,0.4"}, {"boxes": [{"box": BOX}]}),
        ({"boxes": [{"box": "0.1,0.2,0.3,0.4"}]}, {"boxes": [{"box": BOX}]}),
        ({"boxes": []}, {"boxes": []}),
        ({"boxes": [True, False]}, {"boxes": [True, False]}),
        ({"asset": None}, {"asset": None}),
        ({"asset": ""}, {"asset": ""}),
        ({"unknown": None}, {"unknown": None}),
    ],
)
def test_the_meaning_of_variants(given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert normalize_arguments(given, SCHEMA) == meant


@pytest.mark.parametrize("name", ["filters", "crop", "boxes", "like", "deep", "limit", "detail"])
def test_a_text_with_very_many_json_values_is_refused_before_it_is_parsed(name: str) -> None:
    """It would evade the limit of the HTTP body, which cannot see escaped commas."""
    for text in ("[" * 100_000, " [" + "1," * MAX_TEXT_VALUES + "1]"):
        with pytest.raises(InvalidArgumentError, match=f"{name}.*characters"):
            normalize_arguments({name: text}, SCHEMA)


def test_the_limit_of_json_values_is_for_all_texts_of_a_call() -> None:
    half = json.dumps({"box": BOX, "label": "," * (MAX_TEXT_VALUES // 2)})
    assert normalize_arguments({"boxes": [half]}, SCHEMA)["boxes"][0]["box"] == BOX
    with pytest.raises(InvalidArgumentError, match=r"boxes has too many values.*10,000"):
        normalize_arguments({"boxes": [half, half]}, SCHEMA)
    commas = "," * (2 * MAX_TEXT_VALUES)
    assert normalize_arguments({"query": f"[{commas}"}, SCHEMA) == {"query": f"[{commas}"}


@pytest.mark.parametrize(
    ("name", "valid"),
    [("filters", "an object"), ("limit", "an integer"), ("detail", "'concise', 'detailed'")],
)
def test_a_long_text_for_another_type_is_refused_with_what_is_valid(name: str, valid: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name} is the text .*Send {valid}"):
        normalize_arguments({name: "[" * 1_000}, SCHEMA)


@pytest.mark.parametrize("kind", [list, dict])
def test_deep_nesting_is_refused(kind: type) -> None:
    value: Any = "x"
    for _ in range(MAX_DEPTH):
        value = [value] if kind is list else {"a": value}
    reject_bad_values({"filters": value})
    for _ in range(100_000):
        value = [value] if kind is list else {"a": value}
    with pytest.raises(InvalidArgumentError, match=r"'filters' is nested more than 64 levels"):
        reject_bad_values({"filters": value})


@pytest.mark.parametrize("value", ["\ud83e", ["a", {"b": "\ud83e"}], {"\ud83e": 1}])
def test_half_of_a_surrogate_pair_is_refused_at_any_level(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'filters' contains half of a surrogate"):
        reject_bad_values({"filters": value})
