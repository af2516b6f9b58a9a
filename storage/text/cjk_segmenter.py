"""Writing without spaces: Chinese words from jieba, pairs of characters for everything."""

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


def words(run: str) -> list[str]:
    """The words of a run of Han characters, in order; joined, they are the run."""
    with _lock:  # the first caller loads for all
        segmenter = _segmenter()
    return segmenter.lcut(run)


def pairs(run: str) -> list[str]:
    """Every two neighbours, then the last character alone.

    So each character begins exactly one term: any substring of two or more characters is found
    through pairs that it shares, and a single character as the beginning of a term.
    """
    return [run[start : start + 2] for start in range(len(run))]


@cache
def _segmenter() -> _Segmenter:
    """Jieba with its dictionary, loaded on first use (about a second).

    jieba would read a marshalled cache from the shared temporary folder, where anybody could
    plant one, and log its loading to the console; so its tables are built here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and pkg_resources in its own source
        import jieba

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    with files("jieba").joinpath("dict.txt").open("rb") as dictionary:
        tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(dictionary)
    tokenizer.initialized = True
    return cast("_Segmenter", tokenizer)
