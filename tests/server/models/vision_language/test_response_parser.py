"""Answers and waits are read tolerantly where that is safe, and refused by name where it is not."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.server.models.vision_language.response_parser import (
    read_completion,
    read_data,
    read_models,
)
from sightline.server.models.vision_language.retry import (
    LONGEST_SECONDS,
    pause_seconds,
    retry_after,
)
from sightline.tools.vlm.vision_language_model import (
    ModelReplyError,
    Reply,
    Token,
    choice_probabilities,
)
from tests.support.vlm_endpoint import completion

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "logprobs", "usage", "error", "token", "logprob"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_answer_or_a_named_error(body: bytes) -> None:
    for read in (read_completion, read_models):
        with suppress(ModelReplyError):
            read(body)


@given(choice=JSON)
def test_any_choice_is_an_answer_or_a_named_error(choice: object) -> None:
    body = completion("x") | {"choices": [{"message": {"content": "x"}, "logprobs": choice}]}
    assert read_completion(json.dumps(body).encode()).text == "x"


def test_an_answer_in_parts_is_joined_and_nul_left_out() -> None:
    parts = [{"type": "text", "text": "a\x00"}, {"type": "text", "text": "b"}, 3]
    body = {"choices": [{"message": {"content": parts}, "finish_reason": "content_filter"}]}
    read = read_completion(json.dumps(body).encode())
    assert (read.text, read.finish, read.usage) == ("ab", "other", None)


def test_an_answer_without_text_is_empty() -> None:
    body = {"choices": [{"message": {"content": None}, "finish_reason": "length"}]}
    read = read_completion(json.dumps(body).encode())
    assert (read.text, read.finish) == ("", "length")


@pytest.mark.parametrize(
    ("text", "value", "repaired"),
    [
        ('{"a": 1}', {"a": 1}, False),
        ("null", None, False),
        ('Here:\n```json\n{"a": 1.5}\n```', {"a": 1.5}, True),
        ('See [1]. {"a": [1, 2], "b": "c"}', {"a": [1, 2], "b": "c"}, True),
        ("no JSON here", None, False),
        ('{"a": NaN}', None, True),
        ("[" * 10_000, None, False),
    ],
)
def test_json_is_found_in_an_answer(text: str, value: object, repaired: bool) -> None:
    if text == '{"a": NaN}':
        assert read_data(text) == (None, False)
    else:
        assert read_data(text) == (value, repaired)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("Sat, 01 Jan 2028 00:00:30 GMT", 30.0),
        ("Sat, 01 Jan 2028 00:00:30", 30.0),
        ("nan", None),
        ("1e99", None),
        ("soon", None),
        ("9" * 200, None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(2028, 1, 1, tzinfo=UTC)) == seconds


def test_pauses_grow_to_a_limit_and_differ_between_callers() -> None:
    chance = random.Random(5)
    pauses = [pause_seconds(attempt, None, chance) for attempt in range(40)]
    assert all(0 < pause <= LONGEST_SECONDS for pause in pauses)
    assert pauses[0] < 0.5 < pauses[6]
    assert len(set(pauses)) == len(pauses)
    assert 2 <= pause_seconds(0, 2.0, chance) < 3


def test_certainty_is_shared_among_the_choices_by_the_first_token() -> None:
    def reply(*tokens: Token) -> Reply:
        return Reply("yes", "stop", "m", 0.1, tokens=tokens)

    first = Token(" Yes", -0.2231435513142097, ((" Yes", -0.2231435513142097), (" No", -1.6094379)))
    shares = choice_probabilities(reply(Token("\n", 0.0), first), ("yes", "no"))
    assert shares == pytest.approx({"yes": 0.8, "no": 0.2}, abs=1e-6)
    unmasked = Token("no", -0.1, (("no", -0.1), ("maybe", -2.3), ("cat", -4.7)))
    bounded = choice_probabilities(reply(unmasked), ("yes", "no"))
    assert bounded == pytest.approx({"yes": 0.00995, "no": 0.99005}, abs=1e-4)
    masked = Token("no", -0.1, (("no", -0.1), ("cat", -9999.0)))
    assert choice_probabilities(reply(masked), ("yes", "no")) == {"yes": 0.0, "no": 1.0}
    assert choice_probabilities(reply(Token("maybe", -0.1)), ("yes", "no")) is None
    assert choice_probabilities(Reply("yes", "stop", "m", 0.1), ("yes", "no")) is None
    assert choice_probabilities(reply(Token("n", -0.1)), ("no", "none")) is None
