"""Variants of arguments that models and frameworks send are accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sightline.server.mcp_server.call_arguments import normalize_arguments

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
        ({"asset": None}, {"asset": None}),
        ({"asset": ""}, {"asset": ""}),
        ({"unknown": None}, {"unknown": None}),
    ],
)
def test_the_meaning_of_variants(given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert normalize_arguments(given, SCHEMA) == meant


def test_json_that_cannot_be_parsed_stays_text() -> None:
    deep = "[" * 100_000
    assert normalize_arguments({"filters": deep, "crop": deep}, SCHEMA) == {
        "filters": deep,
        "crop": deep,
    }
