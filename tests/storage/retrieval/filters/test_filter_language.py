"""The filter language rejects malformed and oversized filters."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.retrieval.filters import filter_language


@pytest.mark.parametrize(
    "filter_",
    [
        {"price": {}},
        {"gps": "Paris"},
        {"gps": [48.86, 2.29]},
        {"gps": {"near": [48.86], "km": 5}},
        {"gps": {"near": [True, 2.29]}},
        {"gps": {"near": [95, 2.29], "km": 5}},
        {"gps": {"near": [48.86, 2.29], "km": 0}},
        {"gps": {"near": [48.86, float("nan")], "km": 5}},
        {"gps": {"near": [48.86, 2.29], "miles": 5}},
        {"gps": {"gte": 5}},
        {"price": {"near": [1, 2]}},
        {"or": []},
        {"or": {"price": 1}},
        {"not": []},
        {"and": ["price"]},
        {"price": []},
        {"price": {"in": 1}},
        {"price": {"gt": None}},
        {"price": {"gt": True}},
        {"price": {"between": [1]}},
        {"price": float("nan")},
        {"price": 10**30},
        {"price": {"is_empty": "yes"}},
        {"price": {"any": [{"a": 1}]}},
        {"product": "a\x00b"},
        {"product": "\ud800"},
        {"pro\x00duct": "Garlic"},
        {"pro\ud800duct": "Garlic"},
        {"product": "x" * 1000},
        {"": 1},
        {"product": list(range(1000))},
        {"or": [{"price": n} for n in range(100)]},
    ],
    ids=lambda filter_: str(filter_)[:40],
)
def test_a_malformed_filter_is_rejected(filter_: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        filter_language.parse(filter_)


def test_deeply_nested_filters_are_rejected() -> None:
    deep: dict[str, Any] = {"price": 1}
    for _ in range(50):
        deep = {"not": deep}
    with pytest.raises(InvalidArgumentError, match="at most 8 deep"):
        filter_language.parse(deep)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["and", "or", "not", "price", "kind", "gte", "in", "between"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(["and", "or", "not", "price", "kind"]), JSON, max_size=3))
def test_any_json_is_parsed_or_rejected(filter_: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidArgumentError):
        filter_language.parse(filter_)


def test_a_position_takes_degrees_and_kilometers() -> None:
    near = filter_language.parse({"gps": {"near": [48.86, 2], "km": 5}})
    assert near == filter_language.FilterGroup(
        (filter_language.Comparison("gps", "near", [48.86, 2.0, 5.0]),)
    )
    with pytest.raises(InvalidArgumentError, match=r"'near': \[latitude, longitude\], 'km': 5"):
        filter_language.parse({"gps": "Paris"})
    too_many = [{"gps": {"near": [0, 0], "km": 1}}] * 65
    with pytest.raises(InvalidArgumentError, match="at most 64 conditions"):
        filter_language.parse({"or": too_many})
