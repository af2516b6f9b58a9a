"""Turns text into search terms, the same way for passages and queries.

English words are stemmed. Accented words are indexed with and without accents. Part numbers are
indexed whole, without separators, and in parts. Chinese text is indexed as words, for ranking, and
as character pairs, for recall independent of segmentation. Stop words stay: BM25 gives common words
a weight near 0, and "The Who" can still be found.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import snowballstemmer

from sightline.storage.isolation.caller_cache import CallerCache
from sightline.storage.text.lexer import HAN, KANA, SPACED_WORD, UNSPACED, Lexeme, tokenize
from sightline.storage.text.normalization import fold_accents, normalize

MAX_CHARS = 262_144
"""Characters of a text that are analyzed. Only hostile text is longer."""
MAX_TERM_CHARS = 64
MAX_TOKENS = 50_000
_MAX_TSVECTOR_BYTES = 900_000  # Postgres refuses a tsvector of 1,048,576
_MAX_POSITION = 16_383  # of a tsvector
_MAX_POSITIONS = 255  # per lexeme of a tsvector
MAX_FREQUENCY = 32_767  # smallint
MAX_QUERY_CHARS = 131_072
_MAX_ANALYZED_QUERY_CHARS = 10_000
"""Of a longer query, the first ones. Analysis runs in the event loop."""
MAX_QUERY_TERMS = 256
"""Distinct terms that rank. Of a longer query, the first ones."""
MAX_WORD_PAIRS = 16
"""Adjacent word pairs that rank. Of a longer query, the first ones."""
GRAM_WEIGHT = 0.4
"""Weight of a character pair beside a word: words are for precision, pairs for recall."""
MAX_PHRASES = 8
_MAX_QUOTATIONS = 64  # those without a word are no phrases
_MAX_PHRASE_CHARS = 1_000
_MAX_PHRASE_WORDS = 64
_UNSPACED_RUN = re.compile(f"(?:{UNSPACED.pattern})+")
_NO_WORD = "\N{CURRENCY SIGN}"  # one position that matches no word
# An inch mark (5" x 7") follows a digit and opens no quotation.
_QUOTED = re.compile(r'(?<!\w)"([^"]+)"(?!\w)|“([^“”]+)”|「([^「」]+)」|『([^『』]+)』')

#: Stemming 256 words takes 5 ms. With shared stems a caller could time whether others use a text.
_stems: CallerCache[str, str] = CallerCache(20_000, max_total=100_000)

Language = Literal["en", "zh", "other"]


@dataclass(frozen=True, slots=True)
class Analysis:
    """Search data of a passage.

    ``tsvector`` contains words with positions from 1. ``frequencies`` are all terms for ranking,
    with character pairs. ``token_count`` is the length in words.
    """

    language: Language
    tsvector: str
    frequencies: dict[str, int]
    token_count: int


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Terms of a query with their ``weights`` (0 to 1, same order).

    ``prefixes`` are single Chinese characters: they match any term that starts with one. ``words``
    are the indexes into ``terms`` that stand for each word. ``word_pairs`` are those of adjacent
    words. ``truncated``: the query was too long to use all of it.
    """

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    prefixes: tuple[str, ...]
    words: tuple[tuple[int, ...], ...]
    word_pairs: tuple[tuple[int, int], ...]
    truncated: bool

    def __bool__(self) -> bool:
        return bool(self.terms)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A quoted phrase: a tsquery of adjacent words, or characters without spaces.

    Scripts without spaces use characters, because their segmentation depends on the sentence.
    ``units`` are those words, as terms, or characters, in order.
    """

    text: str
    words: str | None = None
    characters: str | None = None
    units: tuple[str, ...] = ()


def analyze(text: str) -> Analysis:
    """Analyze a passage. Accepts any string; the result may be empty."""
    clean = normalize(text, MAX_CHARS)
    tokens: list[tuple[str, int]] = []
    frequencies: Counter[str] = Counter()
    count = 0
    for count, lexeme in enumerate(islice(tokenize(clean), MAX_TOKENS), start=1):
        words = _word_terms(lexeme)
        tokens.extend((term, count) for term in words)
        frequencies.update(words)
        frequencies.update(gram for gram in lexeme.grams if gram not in words)
    return Analysis(
        language=_guess_language(clean),
        tsvector=_tsvector(tokens),
        frequencies={term: min(n, MAX_FREQUENCY) for term, n in frequencies.items()},
        token_count=count,
    )


def analyze_query(text: str) -> TextQuery:
    """Analyze a query. Accepts any text; without words the result has no terms."""
    weights: dict[str, float] = {}
    prefixes: dict[str, None] = {}
    spellings: dict[tuple[str, ...], None] = {}
    word_pairs: dict[tuple[str, str], None] = {}
    previous: str | None = None
    truncated = len(text) > _MAX_ANALYZED_QUERY_CHARS
    for lexeme in tokenize(normalize(text, _MAX_ANALYZED_QUERY_CHARS)):
        if len(weights) >= MAX_QUERY_TERMS:
            truncated = True
            break
        words = _word_terms(lexeme)
        weights.update(dict.fromkeys(words, 1.0))
        spellings[*words, *lexeme.grams] = None
        if previous is not None and words and previous != words[0]:
            word_pairs[previous, words[0]] = None
        previous = words[0] if words else None
        for gram in lexeme.grams:
            weights.setdefault(gram, GRAM_WEIGHT)
        if len(lexeme.grams) == 1 and words == lexeme.grams and HAN.fullmatch(words[0]):
            prefixes[words[0]] = None
    terms = list(weights)[:MAX_QUERY_TERMS]
    index = {term: position for position, term in enumerate(terms)}
    pairs = [(index[one], index[two]) for one, two in word_pairs if one in index and two in index]
    return TextQuery(
        terms=tuple(terms),
        weights=tuple(weights[term] for term in terms),
        prefixes=tuple(prefixes),
        words=tuple(tuple(index[each] for each in word if each in index) for word in spellings),
        word_pairs=tuple(pairs[:MAX_WORD_PAIRS]),
        truncated=truncated,
    )


def parse_phrases(query: str) -> tuple[Phrase, ...]:
    """Return the first phrases in quotation marks that contain a word."""
    found: dict[str, Phrase] = {}
    for match in islice(_QUOTED.finditer(query), _MAX_QUOTATIONS):
        phrase = parse_phrase(" ".join(_quoted_text(match).split()))
        if phrase is not None:
            found.setdefault(phrase.text, phrase)
    return tuple(found.values())[:MAX_PHRASES]


def remove_quotes(query: str) -> str:
    """Remove the quotation marks of phrases, for encoders."""
    return _QUOTED.sub(_quoted_text, query)


def _quoted_text(match: re.Match[str]) -> str:
    return match[match.lastindex or 0]


def parse_phrase(text: str) -> Phrase | None:
    """Return the phrase of words that were in quotation marks, None without a word."""
    clean = normalize(text, _MAX_PHRASE_CHARS)
    if UNSPACED.search(clean):
        characters = "".join(clean.split())
        return Phrase(text, characters=characters, units=tuple(characters))
    words = [terms[0] for each in tokenize(clean) if (terms := _word_terms(each))]
    if not words:
        return None
    units = tuple(words[:_MAX_PHRASE_WORDS])
    return Phrase(text, words=" <-> ".join(map(quote_term, units)), units=units)


def phrase_positions(text: str, phrase: Phrase) -> list[tuple[str, ...]]:
    """Return the terms at each position of a text; a phrase matches adjacent ones.

    They are characters for a phrase of characters; for words, a run of Chinese is one position.
    """
    clean = normalize(text, MAX_CHARS)
    if phrase.characters is not None:
        return [(character,) for character in "".join(clean.split())]
    spaced = _UNSPACED_RUN.sub(f" {_NO_WORD} ", clean)
    return [_word_terms(lexeme) for lexeme in islice(tokenize(spaced), MAX_TOKENS)]


def _word_terms(lexeme: Lexeme) -> tuple[str, ...]:
    terms: list[str] = []
    if lexeme.word is not None:
        folded = fold_accents(lexeme.word)
        terms.append(_stem(_limit_length(folded)))
        if folded != lexeme.word:
            terms.append(_limit_length(lexeme.word))
    return tuple(dict.fromkeys([*terms, *map(_limit_length, lexeme.names)]))


def _guess_language(text: str) -> Language:
    """Guess by script. A Chinese character counts as half a word; kana means Japanese."""
    han = len(HAN.findall(text))
    if len(KANA.findall(text)) * 10 > han > 0:
        return "other"
    words = SPACED_WORD.findall(text)
    latin = sum(map(str.isascii, words))
    if han / 2 > len(words):
        return "zh"
    return "en" if latin and latin * 10 >= len(words) * 8 else "other"


def _limit_length(term: str) -> str:
    """Cut a term to 64 characters; a hash keeps long terms distinct."""
    if len(term) <= MAX_TERM_CHARS:
        return term
    digest = hashlib.blake2b(term.encode(), digest_size=8).hexdigest()
    return f"{term[: MAX_TERM_CHARS - 17]}~{digest}"


def _stem(word: str) -> str:
    """Return the English stem of an ASCII word; return other words unchanged."""
    if not (word.isascii() and word.isalpha()) or len(word) == MAX_TERM_CHARS:
        return word
    stem = _stems.get(word)
    if stem is None:
        # The stemmer has state: a new one per call is thread-safe.
        stem = str(snowballstemmer.stemmer("english").stemWord(word))
        _stems.set(word, stem)
    return stem


def _tsvector(tokens: list[tuple[str, int]]) -> str:
    """Return the literal ``'term':1,5 'other':2`` within the limits of Postgres."""
    by_term: dict[str, list[int]] = {}
    size = 0
    for term, position in tokens:
        if term not in by_term:
            size += len(term.encode()) + 8
            if size > _MAX_TSVECTOR_BYTES:
                break
        positions = by_term.setdefault(term, [])
        if position <= _MAX_POSITION and len(positions) < _MAX_POSITIONS:
            size += 2
            positions.append(position)
    return " ".join(
        quote_term(term) + (":" + ",".join(map(str, positions)) if positions else "")
        for term, positions in sorted(by_term.items())
    )


def quote_term(term: str) -> str:
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
