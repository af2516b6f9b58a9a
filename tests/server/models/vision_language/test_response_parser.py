from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.server.models.vision_language.reply_text import parse_answer_json
from sightline.server.models.vision_language.response_parser import parse_completion, parse_models
from sightline.tools.vlm.vision_language_model import (
    ModelReplyError,
    Reply,
    Token,
    choice_probabilities,
)
from tests.support.fake_vlm_server import completion

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
def test_any_bytes_give_a_parsedor_a_model_error(body: bytes) -> None:
    for parse in (parse_completion, parse_models):
        with suppress(ModelReplyError):
            parse(body)


@given(choice=JSON)
def test_any_choice_gives_a_parsedor_a_model_error(choice: object) -> None:
    body = completion("x") | {"choices": [{"message": {"content": "x"}, "logprobs": choice}]}
    assert parse_completion(json.dumps(body).encode()).text == "x"


def test_text_parts_are_joined_and_nul_is_removed() -> None:
    parts = [{"type": "text", "text": "a\x00"}, {"type": "text", "text": "b"}, 3]
    body = {"choices": [{"message": {"content": parts}, "finish_reason": "content_filter"}]}
    parsed = parse_completion(json.dumps(body).encode())
    assert (parsed.text, parsed.finish, parsed.usage) == ("ab", "other", None)


def test_an_answer_without_text_is_empty_and_unfinished() -> None:
    body = {"choices": [{"message": {"content": None}, "finish_reason": "length"}]}
    parsed = parse_completion(json.dumps(body).encode())
    assert (parsed.text, parsed.finish, parsed.is_unfinished) == ("", "length", True)


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
def test_json_is_extracted_from_an_answer(text: str, value: object, repaired: bool) -> None:
    if text == '{"a": NaN}':
        assert parse_answer_json(text) == (None, False)
    else:
        assert parse_answer_json(text) == (value, repaired)


def test_the_first_token_gives_the_probabilities_of_the_choices() -> None:
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
