"""Splits normalized text into words, numbers, symbols and unspaced runs."""

from __future__ import annotations

import logging
import re
import threading
import unicodedata
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from sightline.storage.text.numbers import read_number
from sightline.storage.text.word_forms import simplify_chinese

_HAN = (
    r"\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
_HANGUL = r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3"
_KANA = r"\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff"
_UNSPACED = _KANA + r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
# Combining marks inside words, which `\w` does not match.
_MARKS = (
    r"\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    r"\u0900-\u0963\u0966-\u0dff"
)

HAN = re.compile(f"[{_HAN}]")
HAN_OR_HANGUL = re.compile(f"[{_HAN}{_HANGUL}]")
UNSPACED = re.compile(f"[{_HAN}{_UNSPACED}]")
KANA = re.compile(f"[{_KANA}]")
SPACED_WORD = re.compile(rf"(?:(?![{_HAN}{_UNSPACED}])[^\W\d_])+")

LATIN_WORD = re.compile(r"[a-z\u00df-\u024f\u1e00-\u1eff]+")

_CHAR = rf"(?:(?![{_HAN}{_HANGUL}{_UNSPACED}_])[\w{_MARKS}])"
# A colon joins a time and the pairs of a MAC address; an underscore joins words of an identifier.
_JOINT = r"(?:[-‐‑–./'’+&@#_]|(?<=\d)[,:](?=\d)|(?<=[\da-f]):(?=[\da-f]{2}(?!\w)))"
# At most 8 joints: a part number has few, and an endless "a-a-a-..." is just words.
_LEXEME = re.compile(
    rf"(?P<han>[{_HAN}]+)"
    rf"|(?P<hangul>[{_HANGUL}]+)"
    rf"|(?P<unspaced>[{_UNSPACED}]+)"
    rf"|(?P<word>{_CHAR}+(?:{_JOINT}{_CHAR}+){{0,8}}(?:\+\+|\#)?)"
    r"|(?P<symbol>[^\w\s])"
)
_PLAIN = re.compile(rf"[^\W\d_{_MARKS}][^\W\d_]*(?:[{_MARKS}]+[^\W\d_]*)*")
_POSSESSIVE = re.compile(r"['’]s$")
_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z][a-z])")
_PART = re.compile(rf"\d+(?:\.\d+)?|(?:[^\W\d_]|[{_MARKS}])+")
_SEPARATOR = re.compile(rf"[^\w{_MARKS}]+|_+")

#: jieba takes quadratic time on a run without punctuation.
_MAX_SEGMENTED_CHARS = 1_000
_segmenter_lock = threading.Lock()


class Lexeme(NamedTuple):
    """One position of the text.

    ``word`` may be stemmed. ``names`` are more terms: part numbers, Chinese words. ``values`` are
    the meanings of a number, any of which stands for it; ``names`` has its printed form.
    ``grams`` are for recall only and do not count as words. ``ends`` are the names that end here:
    "iPhone 15" has the adjacent words "iphone" and "15". ``is_code`` marks the letters of a part
    number, which say little without its digits. ``continues``: a part after the first.
    """

    word: str | None = None
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    grams: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    is_code: bool = False
    continues: bool = False


def separate_camel_case(text: str) -> str:
    """Write ``getUserById`` as ``get_User_By_Id``, before the case is folded."""
    return _CAMEL.sub("_", text)


def tokenize(text: str) -> Iterator[Lexeme]:
    """Yield the lexemes of normalized text in reading order."""
    for match in _LEXEME.finditer(text):
        yield from _lexemes(match)


def tokenize_with_starts(text: str) -> Iterator[tuple[int, Lexeme]]:
    """Yield each lexeme behind the start of its run of characters."""
    for match in _LEXEME.finditer(text):
        for lexeme in _lexemes(match):
            yield match.start(), lexeme


def _lexemes(match: re.Match[str]) -> Iterator[Lexeme]:
    run = match.group()
    match match.lastgroup:
        case "han":
            yield from _han(run)
        case "hangul":
            yield Lexeme(names=(run,), grams=tuple(_character_pairs(run)))
        case "unspaced":
            yield from (Lexeme(names=(pair,)) for pair in _character_pairs(run))
        case "word":
            yield from _word(run)
        case _:
            # Emoji and currency signs are terms; punctuation and math are not.
            if unicodedata.category(run) in ("So", "Sc"):
                yield Lexeme(names=(run,))


def _han(run: str) -> Iterator[Lexeme]:
    """Yield the words, each with the character pairs that start in it."""
    run = simplify_chinese(run)
    with _segmenter_lock:  # load once
        segmenter = _segmenter()
    for part_start in range(0, len(run), _MAX_SEGMENTED_CHARS):
        start = part_start
        for word in segmenter.lcut(run[part_start : part_start + _MAX_SEGMENTED_CHARS]):
            end = start + len(word)
            pairs = _character_pairs(run[start : end + 1])
            yield Lexeme(names=(word,), grams=tuple(pairs[: len(word)]))
            start = end


def _word(run: str) -> Iterator[Lexeme]:
    run = _POSSESSIVE.sub("", run)
    if "_" in run:
        yield from _identifier(run)
    elif _PLAIN.fullmatch(run):
        yield Lexeme(word=run)
    elif values := read_number(run):
        yield Lexeme(names=() if values == (run,) else (run,), values=values)
    else:
        yield from _compound(run)


def _identifier(run: str) -> Iterator[Lexeme]:
    """Yield ``site_plan_a12`` as one name, and its words and part numbers."""
    parts = [lexeme for part in run.split("_") if part for lexeme in _word(part)]
    whole = (_SEPARATOR.sub("", run),)
    for index, lexeme in enumerate(parts):
        names = (*whole, *lexeme.names) if index == 0 else lexeme.names
        ends = (*lexeme.ends, *whole) if index == len(parts) - 1 > 0 else lexeme.ends
        yield lexeme._replace(names=names, ends=ends, continues=index > 0)


def _compound(run: str) -> Iterator[Lexeme]:
    """Yield ``a-12/3.5`` whole and without separators, and its parts."""
    parts: list[str] = _PART.findall(run)
    joined = _SEPARATOR.sub("", run)
    exact = any(char.isdigit() for char in run) or run.endswith(("+", "#"))  # c++ is not c
    variants = dict.fromkeys([run, joined] if exact else [joined])
    whole_names = tuple(name for name in variants if name and name not in parts)
    for index, part in enumerate(parts or [""]):
        whole = whole_names if index == 0 else ()
        ends = whole_names if index == len(parts) - 1 > 0 else ()
        if _PLAIN.fullmatch(part):
            yield Lexeme(word=part, names=whole, ends=ends, is_code=exact, continues=index > 0)
        elif values := read_number(part):
            printed = () if values == (part,) else (part,)
            names = (*whole, *printed)
            yield Lexeme(names=names, values=values, ends=ends, continues=index > 0)
        elif part or whole:
            names = (*whole, part) if part else whole
            yield Lexeme(names=names, ends=ends, continues=index > 0)


def _character_pairs(run: str) -> list[str]:
    """Return all adjacent pairs, then the last character alone.

    Each character starts exactly one term: a longer substring matches through shared pairs, a
    single character as the prefix of a term.
    """
    return [run[start : start + 2] for start in range(len(run))]


@cache
def _segmenter() -> Any:
    """Load jieba with its dictionary (about one second).

    Builds its tables here, because jieba would unmarshal a cache from the shared temporary folder,
    where another user could place a malicious one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and pkg_resources in jieba
        import jieba

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    with files("jieba").joinpath("dict.txt").open("rb") as dictionary:
        tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(dictionary)
    tokenizer.initialized = True
    return tokenizer
