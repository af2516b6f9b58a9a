"""Queries for pictures of products with a name and a description.

Relevant are all pictures of the product, or those with the part of a word that the query names.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.search_quality.outcomes import Query
from benchmarks.search_quality.query_wording import fill, misspell, words

TRUTH = "metadata.jsonl"

_QUESTIONS = (
    "Where can I find {product}?",
    "Do you have {product}?",
    "Which picture shows {product}?",
    "What does {product} look like?",
    "Can you show me the {product}?",
    "How do I use {product}?",
)
_END_CHARS = 5
_MIN_LONG_WORD = 6
_KEYWORDS = 3
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Product:
    """A picture of a product; a shelf photograph has no caption."""

    file_name: str
    product: str
    caption: str = ""

    @property
    def name(self) -> str:
        """The name of the file without suffix."""
        return Path(self.file_name).stem

    @property
    def title(self) -> str:
        """The name of the product in words."""
        return self.product.replace("-", " ")

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of name and description."""
        return frozenset(words(f"{self.title} {self.caption}"))


def load_products(folder: Path) -> list[Product]:
    """Read the metadata of a folder of products."""
    rows = map(json.loads, (folder / TRUTH).read_text(encoding="utf-8").splitlines())
    return [Product(row["file_name"], row["product"], row.get("caption", "")) for row in rows]


def grocery_queries(products: Sequence[Product]) -> Iterator[Query]:
    """Yield a query in each form for each product with a description; always the same ones."""
    for form, word in _FORMS.items():
        for product in products:
            if not product.caption:
                continue
            wording = word(product, products, Random(f"{form} {product.name}"))
            if wording is not None:
                text, is_relevant = wording
                relevant = frozenset(each.name for each in products if is_relevant(each))
                yield Query(form, text, relevant)


#: The text of a query, and which pictures it means.
_Wording = tuple[str, Callable[[Product], bool]] | None
_Word = Callable[[Product, Sequence[Product], Random], _Wording]


def _same(product: Product) -> Callable[[Product], bool]:
    return lambda each: each.product == product.product


def _has_words(product: Product, wanted: Sequence[str]) -> Callable[[Product], bool]:
    return lambda each: each.product == product.product or set(wanted) <= each.words


def _exact(product: Product, _: Sequence[Product], __: Random) -> _Wording:
    return product.title, _same(product)


def _upper_case(product: Product, _: Sequence[Product], __: Random) -> _Wording:
    return product.title.upper(), _same(product)


def _joined(product: Product, _: Sequence[Product], __: Random) -> _Wording:
    return (
        None if "-" not in product.product else (product.product.replace("-", ""), _same(product))
    )


def _question(product: Product, _: Sequence[Product], rng: Random) -> _Wording:
    return fill(_QUESTIONS, rng, product=product.title.lower()), _same(product)


def _typo(product: Product, _: Sequence[Product], rng: Random) -> _Wording:
    wrong = misspell(product.title.lower(), rng)
    return None if wrong is None else (wrong, _same(product))


def _plural(product: Product, _: Sequence[Product], __: Random) -> _Wording:
    title = product.title.lower()
    if title.endswith("us"):
        return None
    if title.endswith("s"):
        return title.removesuffix("s"), _same(product)
    if title.endswith("y") and title[-2] not in "aeiou":
        return f"{title[:-1]}ies", _same(product)
    ending = "es" if title.endswith(("ato", "ch", "sh", "x")) else "s"
    return title + ending, _same(product)


def _first_characters(product: Product, _: Sequence[Product], rng: Random) -> _Wording:
    long = [each for each in words(product.title) if len(each) >= _MIN_LONG_WORD]
    if not long:
        return None
    start = rng.choice(long)[:_END_CHARS]
    return start, lambda each: any(word.startswith(start) for word in each.words)


def _last_characters(product: Product, _: Sequence[Product], rng: Random) -> _Wording:
    long = [each for each in words(product.title) if len(each) >= _MIN_LONG_WORD]
    if not long:
        return None
    end = rng.choice(long)[-_END_CHARS:]
    return end, lambda each: any(word.endswith(end) for word in each.words)


def _sentence(product: Product, _: Sequence[Product], rng: Random) -> _Wording:
    sentence = rng.choice(_SENTENCE.split(product.caption))
    return sentence, lambda each: each.product == product.product or sentence in each.caption


def _keywords(product: Product, products: Sequence[Product], rng: Random) -> _Wording:
    """Return the rarest words of the description, in random order."""
    counts = Counter(word for each in products for word in each.words)
    rarest = sorted(set(words(product.caption)), key=lambda word: (counts[word], word))[:_KEYWORDS]
    rng.shuffle(rarest)
    return " ".join(rarest), _has_words(product, rarest)


_FORMS: Final[dict[str, _Word]] = {
    "exact": _exact,
    "upper case": _upper_case,
    "words joined": _joined,
    "question": _question,
    "typo": _typo,
    "plural or singular": _plural,
    "first five characters": _first_characters,
    "last five characters": _last_characters,
    "sentence of the caption": _sentence,
    "keywords of the caption": _keywords,
}
