"""The lexer sees the tokens that the scanner of Postgres sees, or refuses the text."""

from __future__ import annotations

import postgast
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sightline.storage.analytics.sql_lexer import SqlToken, serialize, tokenize
from sightline.storage.errors import InvalidArgumentError

#: Numbers of `pg_query` for comments, which are no tokens of Postgres.
_COMMENTS = {275, 276}

FRAGMENTS = [
    *("'", "''", '"', '""', "--", "/*", "*/", "\r", "\n", "\t", " ", "\f", "\v", "\0", "\x1f"),
    *("E'", "e", "U&'", 'u&"', "N'", "B'", "x'", "\\", "\\'", "$", "$$", "$a$", "$b$", "$1", "$ä$"),
    *("a", "B", "_", "ä", "İ", "\u212a", "\u00a0", "\u2028", "\u3000", "\ufeff", "\x85", "x" * 63),
    *("+", "-", "*", "/", "<", ">", "=", "~", "!", "@", "#", "%", "^", "&", "|", "`", "?"),
    *("0", "1", "1.", ".5", "1e5", "0x1f", "1_0", "1e", ".", "..", ":", "::", ":=", "=>"),
    *("(", ")", "[", "]", ",", ";", "{", "select", "pg_sleep(1)", "UESCAPE"),
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=16).map("".join)


def postgres_tokens(text: str) -> list[str]:
    """Return the tokens of Postgres in the form of ``SqlToken.sql``."""
    encoded = text.encode()
    scanned = postgast.scan(text).tokens
    return [_sent(encoded[t.start : t.end].decode()) for t in scanned if t.token not in _COMMENTS]


def _sent(token: str) -> str:
    if token[0] in "\"'$" or token[:2].lower() == "e'":
        return token
    folded = "".join(each.lower() if each.isascii() else each for each in token)
    return folded if folded.isascii() else f'"{folded}"'


@settings(max_examples=3_000, deadline=None)
@given(text=TEXTS)
@example(text="SELECT 1 --\r , pg_sleep(2)::text")
@example(text="SELECT E'a'\n'b\\' , ' , pg_sleep(2)::text /* ' */")
@example(text="'a'''b' E'\\''''--'")
@example(text="$a$ $b$ $$ $a$ $")
@example(text="a+--\n-b <-- c\n *-/**/- @-")
@example(text="/*/* */ pg_sleep(1) */ 1 */ 2")
@example(text=".1. 1..2 1.e5")
def test_the_tokens_are_those_of_postgres_or_the_text_is_refused(text: str) -> None:
    try:
        tokens = list(tokenize(text))
    except InvalidArgumentError:
        return
    sent = serialize(tokens)
    assert list(tokenize(sent)) == tokens
    try:
        found = postgres_tokens(text)
    except postgast.PgQueryError:
        # Postgres refuses it too, as an escape in a string is wrong; also the text that is sent.
        with pytest.raises(postgast.PgQueryError):
            postgast.scan(sent)
        return
    assert found == [token.sql for token in tokens]
    assert postgres_tokens(sent) == found


def test_ordinary_statements_are_not_refused() -> None:
    for text in [
        "SELECT count(*) FROM assets WHERE metadata->>'a' = 'it''s' AND caption ~* '^x' -- why",
        "SELECT \"A b\", E'a\\nb', $$x'y$$, $t$ $$ $t$, 1.5e-3, .5, 5. FROM t /* /* */ */",
        "SELECT a::int[], b[1:2], f(x => 1), 1=-1, -1, 2*-3, a@>b, a<->b, - -1 FROM t;",
        "SELECT count(*) AS 数量, straße FROM t WHERE\r\n a <> 'Straße\u3000'",
    ]:
        tokens = list(tokenize(text))
        assert [token.sql for token in tokens] == postgres_tokens(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT 'a\0'", r"control character U\+0000"),
        ("SELECT\x0b1", r"control character U\+000B"),
        ("SELECT '\ud800'", r"control character U\+D800"),
        ("SELECT U&'x'", "prefix U& are not supported"),
        ("SELECT B'1'", "prefix B are not supported"),
        ("SELECT 'a'\n'b'", r"must not follow a string.*\|\|"),
        ("SELECT 'a' /* */ E'b'", "must not follow a string"),
        ("SELECT $1", r"Parameters such as \$1"),
        ("SELECT 0x1f", "The number at '0' is not supported"),
        ("SELECT 1_000", "The number at '1' is not supported"),
        ("SELECT 12abc", "The number at '12' is not supported"),
        ("SELECT {x}", r"Unexpected character '\{'"),
        ('SELECT ""', "A quoted name is empty"),
        (f"SELECT {'ä' * 32}", "more than 63 bytes"),
        ("SELECT 'x", "Unclosed quote: '"),
        ("SELECT $a$ $b$", r"Unclosed quote: \$a\$"),
        ("SELECT /* /* */", "Unclosed comment"),
    ],
)
def test_unsupported_text_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        list(tokenize(text))


def test_only_ascii_letters_are_folded() -> None:
    kelvin = "\u212a"  # lower() is an ASCII k
    assert list(tokenize(f"LOC{kelvin} pg_LOCK ÄB")) == [
        SqlToken("quoted", f"loc{kelvin}"),
        SqlToken("word", "pg_lock"),
        SqlToken("quoted", "Äb"),
    ]
