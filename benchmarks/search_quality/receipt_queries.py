"""Queries for scanned receipts, from the annotated company, date, address, total and lines.

A receipt is relevant if it has what the query names: nearly the same company, the same date, or the
text in one of its annotated lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.search_quality.outcomes import Query
from benchmarks.search_quality.query_wording import (
    date_in_words,
    fill,
    letters,
    misspell,
    parse_date,
    words,
)

TRUTH = "truth.jsonl"

_COMPANY_QUESTIONS = (
    "How much did I spend at {company}?",
    "What did I buy at {company}?",
    "When was I at {company}?",
    "Where is the receipt from {company}?",
    "Do I have an invoice of {company}?",
)
_TOTAL_QUESTIONS = (
    "What did I pay {total} for?",
    "receipt with a total of {total}",
    "Where did I spend {total}?",
    "Which receipt is for {total}?",
)
_DATE_QUESTIONS = (
    "What did I buy on {date}?",
    "How much did I spend on {date}?",
    "Where did I go shopping on {date}?",
    "receipts from {date}",
)
_SAME_COMPANY = 0.9
_END_CHARS = 5
_MIN_LONG_WORD = 7
_ITEM_LETTERS = 8
_AMOUNT = re.compile(r"\d[\d,]*\.\d\d")
_LEGAL_FORM = re.compile(r"\(M\)|\bSDN\.?\s*BHD\b\.?|\bS/B", re.IGNORECASE)


@dataclass(frozen=True)
class Receipt:
    """The annotation of a receipt."""

    file_name: str
    company: str
    printed_date: str
    address: str
    total: str
    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the file without suffix."""
        return Path(self.file_name).stem

    @cached_property
    def day(self) -> date | None:
        """The date, with the day first."""
        return parse_date(self.printed_date)

    @cached_property
    def amount(self) -> str | None:
        """The total without its currency."""
        match = _AMOUNT.search(self.total)
        return match[0] if match else None

    @cached_property
    def short_company(self) -> str:
        """The company without its legal form, as people name it."""
        return " ".join(_LEGAL_FORM.sub(" ", self.company).split()).title()

    @cached_property
    def letters(self) -> str:
        """The letters and digits of each line."""
        return "\n".join(letters(each) for each in (*self.lines, self.company, self.address))

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of all lines."""
        return frozenset(words(" ".join((*self.lines, self.company, self.address))))

    @property
    def long_numbers(self) -> list[str]:
        """The words of only digits, such as the number of an invoice."""
        return sorted(each for each in self.words if each.isdigit() and len(each) >= _MIN_LONG_WORD)

    @cached_property
    def amounts(self) -> frozenset[str]:
        """The total and all amounts in the lines."""
        return frozenset(_AMOUNT.findall(" ".join((*self.lines, self.total))))

    def is_of(self, company: str) -> bool:
        """Return whether the company has this name, except for a wrong letter."""
        one, other = letters(self.company), letters(company)
        return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _SAME_COMPANY


def load_receipts(folder: Path) -> list[Receipt]:
    """Read the annotations of a folder of receipts."""
    rows = map(json.loads, (folder / TRUTH).read_text(encoding="utf-8").splitlines())
    return [
        Receipt(
            **{key: row[key] for key in ("file_name", "company", "address", "total")},
            printed_date=row["date"],
            lines=tuple(line["text"] for line in row["lines"]),
        )
        for row in rows
    ]


def receipt_queries(receipts: Sequence[Receipt]) -> Iterator[Query]:
    """Yield queries in each form that a receipt has the facts for; always the same ones."""
    for form, word in _FORMS.items():
        for receipt in receipts:
            wording = word(receipt, receipts, Random(f"{form} {receipt.name}"))
            if wording is not None:
                text, is_relevant = wording
                relevant = frozenset(each.name for each in receipts if is_relevant(each))
                yield Query(form, text, relevant)


#: The text of a query, and which receipts it means.
_Wording = tuple[str, Callable[[Receipt], bool]] | None
_Word = Callable[[Receipt, Sequence[Receipt], Random], _Wording]


def _exact(receipt: Receipt, _: Sequence[Receipt], __: Random) -> _Wording:
    text = f"{receipt.company} {receipt.printed_date}"
    return text, lambda each: each.is_of(receipt.company) and each.day == receipt.day


def _company_question(receipt: Receipt, _: Sequence[Receipt], rng: Random) -> _Wording:
    text = fill(_COMPANY_QUESTIONS, rng, company=receipt.short_company)
    return text, lambda each: each.is_of(receipt.company)


def _total_question(receipt: Receipt, _: Sequence[Receipt], rng: Random) -> _Wording:
    if receipt.amount is None:
        return None
    text = fill(_TOTAL_QUESTIONS, rng, total=receipt.amount)
    return text, lambda each: receipt.amount in each.amounts


def _date_question(receipt: Receipt, _: Sequence[Receipt], rng: Random) -> _Wording:
    if receipt.day is None:
        return None
    notation = rng.choice((receipt.printed_date, date_in_words(receipt.day, rng)))
    return fill(_DATE_QUESTIONS, rng, date=notation), lambda each: each.day == receipt.day


def _typo(receipt: Receipt, _: Sequence[Receipt], rng: Random) -> _Wording:
    wrong = misspell(receipt.short_company, rng)
    return None if wrong is None else (wrong, lambda each: each.is_of(receipt.company))


def _date_words(receipt: Receipt, _: Sequence[Receipt], rng: Random) -> _Wording:
    if receipt.day is None:
        return None
    return date_in_words(receipt.day, rng), lambda each: each.day == receipt.day


def _iso_date(receipt: Receipt, _: Sequence[Receipt], __: Random) -> _Wording:
    day = receipt.day
    return None if day is None else (day.isoformat(), lambda each: each.day == day)


def _last_digits(receipt: Receipt, _: Sequence[Receipt], rng: Random) -> _Wording:
    if not receipt.long_numbers:
        return None
    end = rng.choice(receipt.long_numbers)[-_END_CHARS:]
    return end, lambda each: any(word.endswith(end) for word in each.words)


def _first_characters(receipt: Receipt, _: Sequence[Receipt], rng: Random) -> _Wording:
    long = [each for each in words(receipt.company) if len(each) >= _MIN_LONG_WORD]
    start = rng.choice([*long, *receipt.long_numbers] or [""])[:_END_CHARS]
    if not start:
        return None
    return start, lambda each: any(word.startswith(start) for word in each.words)


def _item(receipt: Receipt, receipts: Sequence[Receipt], rng: Random) -> _Wording:
    others = [each for each in receipts if each is not receipt]
    known = letters(f"{receipt.company} {receipt.address}")

    def is_item(line: str) -> bool:
        has_words = sum(map(str.isalpha, line)) >= _ITEM_LETTERS
        key = letters(line)
        return has_words and key not in known and not any(key in other.letters for other in others)

    items = [line for line in receipt.lines if is_item(line)]
    if not items:
        return None
    item = rng.choice(items)
    return item, lambda each: letters(item) in each.letters


def _total(receipt: Receipt, _: Sequence[Receipt], __: Random) -> _Wording:
    amount = receipt.amount
    return None if amount is None else (amount, lambda each: amount in each.amounts)


def _address(receipt: Receipt, _: Sequence[Receipt], __: Random) -> _Wording:
    address = receipt.address
    return address, lambda each: letters(each.address) == letters(address)


_FORMS: Final[dict[str, _Word]] = {
    "exact": _exact,
    "question by company": _company_question,
    "question by total": _total_question,
    "question by date": _date_question,
    "typo": _typo,
    "date in words": _date_words,
    "ISO date": _iso_date,
    "last five digits": _last_digits,
    "first five characters": _first_characters,
    "item line": _item,
    "total": _total,
    "address": _address,
}
