"""Decide whether a match of words stands out from chance.

A match is significant if it has half of the query's content words, weighted by rarity; if it has
less of them, but rare ones; or if it is rarer than any single word can be, as a part number in
several spellings is. Function words ("of") and words of the request ("picture") do not count. Words
that occur nowhere do count: "a red giraffe" is not found where only something red is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass

from sightline.storage.text.query_analysis import QueryWord, TextQuery

SIGNIFICANT_SHARE = 0.5
"""Of the weight of all content words, whatever their rarity."""
SIGNIFICANT_RARE_SHARE = 0.3
"""Share times rarity: one rare word beside a word that occurs nowhere has more ("sign BAKERY")."""

CERTAIN_NEARNESS = 0.5
"""From here on, a near word is as good as the word of the query."""


@dataclass(frozen=True, slots=True)
class LexicalSignificance:
    """The weight of a query's content words, and the weight that chance explains."""

    query_weight: float
    chance_weight: float

    @classmethod
    def of(
        cls,
        query: TextQuery,
        *,
        found: Set[int],
        nearness: Mapping[QueryWord, float],
        content: float,
        passages: int,
    ) -> LexicalSignificance:
        """Return the test for the matches of a query in ``passages`` passages.

        ``found`` are the concepts that occur, ``nearness`` that of words that are replaced by near
        ones, and ``content`` is the weight of the content words that occur.
        """
        lost = sum(
            1 - nearness.get(word, 0.0)
            for word in query.words
            if word.is_content and nearness.get(word, 0.0) < CERTAIN_NEARNESS
            if word in nearness or found.isdisjoint(word.concepts)
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
