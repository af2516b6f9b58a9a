"""Decide whether a match of words stands out from chance.

A match is significant if it has half of the query's content words, weighted by rarity; if it has
less of them, but rare ones; or if it is rarer than any single word can be, as a part number in
several spellings is. Function words ("of") and words of the request ("picture") do not count. Words
that occur nowhere do count: "a red giraffe" is not found where only something red is.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from sightline.storage.text.analyzer import TextQuery

SIGNIFICANT_SHARE = 0.5
"""Of the weight of all content words, whatever their rarity."""
SIGNIFICANT_RARE_SHARE = 0.3
"""Share times rarity: one rare word beside a word that occurs nowhere has more ("sign BAKERY")."""
_FUNCTION_WORDS = """
a about after all also am an and ani are as at be becaus been befor between but by can could did do
doe dure each for from had has have he her here him his how i if in into is it just me my no nor
not of off on onc onli or other our out over own she should so some such than that the their them
then there these they this those through to too under until up us veri was we were what when where
whi which while who whom whose will with would you your
的 了 在 和 与 及 或 是 有 也 都 就 很 吗 呢 吧 把 被 给 从 到 对 我 你 他 她 它 我们 你们 他们 这
那 这个 那个 什么 哪 哪个 哪里 怎么 请
"""
_REQUEST_WORDS = "find give imag photo photograph pictur search show 图片 照片 图像 找 查找"
FUNCTION_TERMS = frozenset(f"{_FUNCTION_WORDS} {_REQUEST_WORDS}".split())
"""Stems of words that say nothing about the content of a picture or text."""


def content_flags(query: TextQuery) -> list[bool]:
    """Return for each term whether it is of a content word.

    All are if the query has function words only ("The Who").
    """
    flags = [term not in FUNCTION_TERMS for term in query.terms]
    return flags if any(flags) else [True] * len(flags)


@dataclass(frozen=True, slots=True)
class LexicalSignificance:
    """The weight of a query's content words, and the weight that chance explains."""

    query_weight: float
    chance_weight: float

    @classmethod
    def of(
        cls, query: TextQuery, *, missing: Collection[int], content: float, passages: int
    ) -> LexicalSignificance:
        """Return the test for the matches of a query in ``passages`` passages.

        ``missing`` are the indexes of terms that occur nowhere, and ``content`` is the weight of
        the content words that occur.
        """
        flags = content_flags(query)
        lost = sum(
            any(flags[term] for term in word) and all(term in missing for term in word)
            for word in query.words
        )
        weight_of_a_lost_word = math.log(1 + (passages + 0.5) / 0.5)
        return cls(content + lost * weight_of_a_lost_word, math.log(1 + passages))

    def coverage(self, matched: float) -> float:
        """Return the share 0 to 1 of the content words' weight that a match has."""
        return min(matched / self.query_weight, 1.0) if self.query_weight > 0 else 0.0

    def is_significant(self, matched: float) -> bool:
        """Return whether a match of this weight of content words stands out."""
        share = self.coverage(matched)
        if share <= 0:
            return False
        # The weight of one term in one of n passages is below log n.
        rarity = matched / self.chance_weight
        is_rare = rarity >= 1 or share * rarity >= SIGNIFICANT_RARE_SHARE
        return is_rare or share >= SIGNIFICANT_SHARE
