"""Segments text without spaces: Chinese words (jieba) and character pairs."""

from __future__ import annotations

import logging
import threading
import warnings
from functools import cache
from importlib.resources import files
from typing import Protocol, cast

_lock = threading.Lock()


class _Segmenter(Protocol):
    def lcut(self, sentence: str) -> list[str]: ...


def segment_words(run: str) -> list[str]:
    """Split a run of Han characters into words."""
    with _lock:  # load once
        segmenter = _segmenter()
    return segmenter.lcut(run)


def character_pairs(run: str) -> list[str]:
    """Return all adjacent pairs, then the last character alone.

    Each character starts exactly one term: a longer substring matches through shared pairs, a
    single character as the prefix of a term.
    """
    return [run[start : start + 2] for start in range(len(run))]


@cache
def _segmenter() -> _Segmenter:
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
    return cast("_Segmenter", tokenizer)
