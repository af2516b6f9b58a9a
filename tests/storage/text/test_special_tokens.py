from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers

from sightline.storage.text.special_tokens import escape_special_tokens, escape_tokens
from tests.support.special_tokens import FAMILIES, ROLE_NAMES, SPECIAL_TOKENS

_NORMALIZERS = {
    "none": None,
    "NFKC": normalizers.NFKC(),
    "accents removed": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "control characters removed": normalizers.BertNormalizer(lowercase=False),
}
HIDDEN = "\u200b\u200d\u2060\ufeff\u00ad\ufe01\U000e0041\x00\x1b"


@pytest.fixture(scope="module", params=_NORMALIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """A tokenizer of characters with the special tokens of all families."""
    tokenizer = Tokenizer(models.BPE(unk_token="?", vocab={"?": 0}, merges=[]))
    normalizer = _NORMALIZERS[request.param]
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=normalizer is not None) for token in SPECIAL_TOKENS]
    )
    return tokenizer


def special_tokens_in(tokenizer: Tokenizer, text: str) -> list[str]:
    return [token for token in tokenizer.encode(text).tokens if token != "?"]


def test_the_tables_name_at_least_fifteen_families() -> None:
    assert len(FAMILIES) >= 15


def test_the_tokenizer_finds_each_token_that_is_not_escaped(tokenizer: Tokenizer) -> None:
    for token in SPECIAL_TOKENS:
        (found,) = special_tokens_in(tokenizer, f"a {token} b")
        assert unicodedata.normalize("NFKC", found) == unicodedata.normalize("NFKC", token)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_special_token_of_a_family_is_left(tokenizer: Tokenizer, family: str) -> None:
    for token in FAMILIES[family]:
        for text in (
            token,
            f"a{token}b",
            f"{token}{token}",
            f"<{token}>",
            f"[{token}]",
            f"#{token}",
        ):
            escaped = escape_special_tokens(text)
            assert special_tokens_in(tokenizer, escaped) == [], (text, escaped)
            assert escape_special_tokens(escaped) == escaped
            assert escaped.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_hidden_character_inside_does_not_save_a_token(tokenizer: Tokenizer, hidden: str) -> None:
    for token in SPECIAL_TOKENS:
        for place in range(1, len(token)):
            escaped = escape_special_tokens(token[:place] + hidden + token[place:])
            assert special_tokens_in(tokenizer, escaped) == [], escaped


def test_fullwidth_forms_are_escaped(tokenizer: Tokenizer) -> None:
    wide = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
    for token in SPECIAL_TOKENS:
        for text in (token.translate(wide), token.replace("<", "﹤"), token.replace("<", "≮")):
            assert special_tokens_in(tokenizer, escape_special_tokens(text)) == [], text


def test_all_compatibility_forms_of_the_openers_are_known() -> None:
    for code in range(0x110000):
        folded = unicodedata.normalize("NFKC", chr(code))
        if folded in ("<", "["):
            assert escape_special_tokens(chr(code) + "x") == chr(code) + " x"


@given(
    st.lists(st.sampled_from((*SPECIAL_TOKENS, *"<>|[]/#: \n", *HIDDEN, "a")), max_size=6),
    st.data(),
)
def test_no_cut_or_joined_text_has_a_special_token(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    start = data.draw(st.integers(0, len(text)))
    escaped = escape_special_tokens(text[start:] + text[:start])
    assert [token for token in SPECIAL_TOKENS if token in escaped] == []
    assert escape_special_tokens(escaped) == escaped


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_role_names_do_not_begin_a_turn(role: str) -> None:
    for text in (role, f"\n{role} hello", f"a dog. {role} hello", f"\u200b{role}", f"\\n{role}"):
        assert role not in escape_special_tokens(text)
    escaped = escape_special_tokens(role)
    assert escape_special_tokens(escaped) == escaped


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "x[0] + y[-1] = [0.5, 1]",
        '["a", "b"] and [[1, 2]] and []',
        "[1] see [2], ![3] and [^4]",
        "| name | price |",
        "users: 3, the user said: no",
        "# Heading\n## Heading",
        "价格：5元，用户手册",
        "Persian می\u200cخواهم, \U0001f468\u200d\U0001f469\u200d\U0001f467",
    ],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert escape_special_tokens(text) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<b>bold</b>", "< b>bold< /b>"),
        ("if a<b: x[i] = 3", "if a< b: x[ i] = 3"),
        ("价格<5元", "价格< 5元"),
        ("### Heading", "## # Heading"),
        ("User: admin", "User : admin"),
    ],
)
def test_markup_and_code_stay_readable(text: str, escaped: str) -> None:
    assert escape_special_tokens(text) == escaped


def test_nul_and_lone_surrogates_are_removed() -> None:
    assert escape_special_tokens("a\x00b\ud800c") == "abc"


def test_given_tokens_are_escaped() -> None:
    assert escape_tokens("a <row_3> b", ["<row_3>", "<x>"]) == "a < row_3> b"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("ＵＳＥＲ: hi", "ＵＳＥＲ : hi"),
        ("𝐔𝐒𝐄𝐑: x", "𝐔𝐒𝐄𝐑 : x"),
        ("USER⩴ x", "USER ⩴ x"),
        ("assiﬆant: x", "assiﬆant : x"),
        ("Ｕ\u0301sér: x", "Ｕ\u0301sér : x"),
        ("＃＃＃ Human", "＃＃ ＃ Human"),
        ("﹟#﹟ Human", "﹟# ﹟ Human"),
        ("ⓊⓈⒺⓇ︓", "ⓊⓈⒺⓇ ︓"),
        ("｜ＥＮＤＯＦＴＥＸＴ｜", "｜ ＥＮＤＯＦＴＥＸＴ｜"),
        ("\u226e\u226e|im_start|>", "\u226e \u226e |im_start|>"),
        ("<\u0338image>", "< \u0338image>"),
    ],
)
def test_compatibility_forms_are_escaped_like_ascii(text: str, escaped: str) -> None:
    assert escape_special_tokens(text) == escaped


@pytest.mark.parametrize("text", ["naïve café ½ ﬁn", "旅行：北京", "Ångström ①"])
def test_other_text_beyond_ascii_stays(text: str) -> None:
    assert escape_special_tokens(text) == text
