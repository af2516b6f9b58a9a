"""Analyzes a query: its terms, what each stands for, and how much it says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from sightline.storage.text.analyzer import (
    limit_length,
    normalize_words,
    stem_term,
    stems_of,
    text_languages,
)
from sightline.storage.text.dates import DayOrder, FoundDate, find_dates, query_terms
from sightline.storage.text.lexer import HAN_OR_HANGUL, Lexeme, tokenize_with_starts
from sightline.storage.text.normalization import fold_accents, spell_out_umlauts
from sightline.storage.text.numbers import (
    SpacedNumber,
    find_spaced_numbers,
    is_number,
    is_serial_number,
    shorten,
)
from sightline.storage.text.stemming import possible_stems
from sightline.storage.text.word_forms import is_function_word

MAX_QUERY_CHARS = 131_072
_MAX_ANALYZED_CHARS = 10_000
"""Of a longer query, the first ones. Analysis runs in the event loop."""
MAX_QUERY_TERMS = 256
"""Distinct terms that rank. Of a longer query, the first ones."""
_MAX_LEXEMES = 1_000
MAX_WORD_PAIRS = 16
"""Adjacent word pairs that rank. Of a longer query, the first ones."""
SPELLING_WEIGHT = 0.4
"""Weight of a Chinese character pair beside its word, of a word with its accents beside the one
without, and of a part of a number that says less than the whole."""
FUNCTION_WEIGHT = 0.1
"""Weight of function words, and of the parts of a date. They are rare in receipts and in labels, so
their rarity says nothing."""
_NEGATIONS = frozenset(
    {"not", "no", "without", "except", "never", "isn", "aren", "don", "doesn"}
    | {"nicht", "ohne", "kein", "keine", "keinen", "sans", "pas", "sin", "senza", "sem", "zonder"}
    | {"без", "не", "不", "不是", "没", "没有", "无", "非", "除了"}
)


class QueryTerm(NamedTuple):
    """A term to search; terms of one ``concept`` stand for the same.

    ``weight`` is 0 to 1. ``is_content`` is False for what says nothing about the content. ``order``
    is the order of day and month in which a text must have been written. ``part_of`` is the concept
    of the date or number that this is a part of: parts count only if no text has the whole.
    """

    term: str
    concept: int
    weight: float
    is_content: bool
    order: DayOrder | None = None
    part_of: int | None = None

    def restored(self) -> QueryTerm:
        """Return the term as a word of its own."""
        weight = min(self.weight / FUNCTION_WEIGHT, 1.0)
        return self._replace(is_content=True, weight=weight, part_of=None)


class QueryWord(NamedTuple):
    """A word, number, part number or date of the query.

    Each of ``concepts`` stands for it. ``spelling`` is what near words are compared with; None if
    nothing can be near, as to a date.
    """

    text: str
    concepts: tuple[int, ...]
    is_content: bool
    spelling: str | None = None

    def of_content(self, contents: Set[int]) -> QueryWord:
        """Return the word with those concepts only that say something, if it has any."""
        concepts = tuple(each for each in dict.fromkeys(self.concepts) if each in contents)
        return self._replace(concepts=concepts or self.concepts, is_content=bool(concepts))


@dataclass(frozen=True, slots=True)
class TextQuery:
    """The terms of a query.

    ``prefixes`` are single Chinese or Korean characters: they match any term that starts with one.
    ``word_pairs`` are adjacent words, as indexes into ``terms``. ``negations`` are words such as
    "not", which search does not understand. ``truncated``: the query was too long to use all of it.
    """

    terms: tuple[QueryTerm, ...]
    words: tuple[QueryWord, ...]
    prefixes: frozenset[str]
    word_pairs: tuple[tuple[int, int], ...]
    negations: tuple[str, ...]
    truncated: bool

    def __bool__(self) -> bool:
        return bool(self.terms)


def analyze_query(text: str) -> TextQuery:
    """Analyze a query. Accepts any text; without words the result has no terms.

    If all words are function words ("The Who"), all of them count.
    """
    clean = normalize_words(text, _MAX_ANALYZED_CHARS)
    builder = _Builder(text_languages(clean))
    expressions = deque(_expressions(clean))
    whole, whole_end = None, 0
    for count, (start, lexeme) in enumerate(tokenize_with_starts(clean)):
        if len(builder.terms) >= MAX_QUERY_TERMS or count >= _MAX_LEXEMES:
            builder.truncated = True
            break
        if expressions and start >= expressions[0].start:
            expression = expressions.popleft()
            whole, whole_end = builder.add_expression(expression), expression.end
        builder.add_lexeme(lexeme, whole if start < whole_end else None)
    builder.truncated |= len(text) > _MAX_ANALYZED_CHARS
    return builder.build()


def _expressions(text: str) -> Iterator[FoundDate | SpacedNumber]:
    """Yield dates and spaced numbers in order, without overlaps."""
    found: list[FoundDate | SpacedNumber] = [*find_dates(text), *find_spaced_numbers(text)]
    end = 0
    for each in sorted(found, key=lambda each: each.start):
        if each.start >= end:
            end = each.end
            yield each


class _Word(NamedTuple):
    """A `QueryWord` while concepts are added."""

    text: str
    concepts: list[int]
    is_content: bool
    spelling: str | None


@dataclass(slots=True)
class _Builder:
    languages: tuple[str, ...] = ()
    terms: dict[str, QueryTerm] = field(default_factory=dict)
    words: list[_Word] = field(default_factory=list)
    prefixes: set[str] = field(default_factory=set)
    pairs: dict[tuple[str, str], None] = field(default_factory=dict)
    negations: dict[str, None] = field(default_factory=dict)
    truncated: bool = False
    _previous: str | None = None
    _concepts: int = 0

    def add_lexeme(self, lexeme: Lexeme, part_of: int | None) -> None:
        text = lexeme.word or next(iter((*lexeme.names, *lexeme.values)), "")
        is_function = is_function_word(text)
        is_content = part_of is None and not is_function
        part_of = None if is_function else part_of
        if fold_accents(text) in _NEGATIONS:
            self.negations[text] = None
        weight = 1.0 if is_content else FUNCTION_WEIGHT
        main = _main_terms(lexeme)
        concepts: list[int] = []
        # The letters of a part number, and the value of a serial number, say little.
        is_minor = lexeme.is_code or any(map(is_serial_number, lexeme.names))
        if main:
            own = SPELLING_WEIGHT * weight if is_minor else weight
            stems = () if is_function else self._stems(lexeme)
            is_whole = is_content and not is_minor
            concepts.append(self._add(dict.fromkeys(main), own, is_whole, stems))
        of_spelling = SPELLING_WEIGHT * weight
        for name in map(stem_term, lexeme.names):
            is_other_notation = part_of is not None or (
                is_number(name) and not is_serial_number(name)
            )
            own = 1.0 if is_other_notation else weight  # what is printed adds to its meaning
            stems = self._stems(lexeme) if lexeme.word is None else ()
            is_own = is_content and not is_other_notation
            concepts.append(self._add({name: None}, own, is_own, stems))
        # A text with 18 may mean 18.00, but one with 18.00 is meant.
        shorter = [each for each in map(shorten, lexeme.values) if each not in main]
        if shorter:
            concepts.append(self._add(dict.fromkeys(shorter), of_spelling, False))
        if lexeme.word is not None and not lexeme.word.isascii():
            concepts.append(self._add({limit_length(lexeme.word): None}, of_spelling, False))
        concepts += [self._add({gram: None}, of_spelling, is_content) for gram in lexeme.grams]
        if (
            len(lexeme.grams) == 1
            and lexeme.names == lexeme.grams
            and HAN_OR_HANGUL.fullmatch(text)
        ):
            self.prefixes.add(text)
        key = (*main, *map(stem_term, lexeme.names))
        if self._previous is not None and key and self._previous != key[0]:
            self.pairs[self._previous, key[0]] = None
        self._previous = key[0] if key else None
        if lexeme.continues and self.words:
            self.words[-1].concepts.extend(concepts)
        elif concepts:
            names = [each for each in lexeme.names if not is_number(each) or is_serial_number(each)]
            spelling = names[-1] if names else fold_accents(lexeme.word or key[0])
            self.words.append(_Word(names[0] if names else text, concepts, is_content, spelling))
        for name in (*main, *map(stem_term, lexeme.names)) if part_of is not None else ():
            if self.terms[name].concept in concepts:
                self.terms[name] = self.terms[name]._replace(part_of=part_of)

    def add_expression(self, found: FoundDate | SpacedNumber) -> int:
        """Add a date or number and return its concept."""
        terms: dict[str, DayOrder | None]
        if isinstance(found, SpacedNumber):
            text, terms = found.value, {found.value: None}
        else:
            text, terms = found.readings[0].date, query_terms(found)
        concept = self._add(terms, 1.0, True)
        concepts = [concept]
        if isinstance(found, SpacedNumber) and (short := shorten(found.value)) not in terms:
            concepts.append(self._add({short: None}, SPELLING_WEIGHT, False))
        self.words.append(_Word(text, concepts, True, None))
        return concept

    def build(self) -> TextQuery:
        terms = list(self.terms.values())[:MAX_QUERY_TERMS]
        contents = {each.concept for each in terms if each.is_content}
        words = [
            QueryWord(each.text, tuple(each.concepts), each.is_content, each.spelling)
            for each in self.words
        ]
        words = [each.of_content(contents) for each in words]
        if not any(each.is_content for each in terms):
            terms = [each.restored() for each in terms]
            words = [each._replace(is_content=True) for each in words]
        index = {each.term: position for position, each in enumerate(terms)}
        pairs = [(index[one], index[two]) for one, two in self.pairs if {one, two} <= index.keys()]
        return TextQuery(
            terms=tuple(terms),
            words=tuple(dict.fromkeys(words)),
            prefixes=frozenset(self.prefixes),
            word_pairs=tuple(pairs[:MAX_WORD_PAIRS]),
            negations=tuple(self.negations) if len(self.words) > len(self.negations) else (),
            truncated=self.truncated,
        )

    def _stems(self, lexeme: Lexeme) -> tuple[str, ...]:
        if lexeme.word is not None:
            return possible_stems(lexeme.word, self.languages)
        return stems_of(lexeme, self.languages)

    def _add(
        self,
        alternatives: Mapping[str, DayOrder | None],
        weight: float,
        is_content: bool,
        stems: Iterable[str] = (),
    ) -> int:
        """Add terms of one concept and return it; terms of an earlier concept keep theirs."""
        known = next((self.terms[each] for each in alternatives if each in self.terms), None)
        concept = self._concepts if known is None else known.concept
        self._concepts += known is None
        for term, order in alternatives.items():
            self.terms.setdefault(term, QueryTerm(term, concept, weight, is_content, order))
        for stem in stems:
            self.terms.setdefault(stem, QueryTerm(stem, concept, weight, is_content))
        return concept


def _main_terms(lexeme: Lexeme) -> tuple[str, ...]:
    """Return the terms any of which stands for the lexeme."""
    if lexeme.word is None:
        return lexeme.values
    spellings = (fold_accents(lexeme.word), spell_out_umlauts(lexeme.word))
    return tuple(dict.fromkeys(map(stem_term, spellings)))
