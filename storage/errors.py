"""All errors that Sightline raises on purpose.

SightlineError
├── ConfigurationError        a setting or a command argument is wrong
│   └── MissingExtraError     a package of an extra is not installed
├── InvalidArgumentError      a caller's value is wrong; the message names valid values
│   └── UnknownNameError      the value names nothing; the message lists what exists
│       └── UnknownAssetError an asset id is unknown; assets are too many to list
├── NotAllowedError           the value is valid but refused (path roots, scopes, sizes)
├── TooManyCallsError         rate limit exceeded; the message says when to retry
├── MediaError                a file cannot be decoded as its type
├── StorageError              Postgres refused or failed
│   ├── DatabaseUnavailableError   Postgres cannot be reached; retry later
│   ├── LockTimeoutError      another operation holds a lock; retry later
│   └── SchemaError           the database schema has the wrong version or is unsafe
├── SpaceMismatchError        an encoder does not match the embedding space
└── ModelError                a model failed
    ├── ModelUnavailableError it is loading or cannot be reached; retry later
    └── ModelOverloadedError  too many calls wait for it; retry later
"""

from __future__ import annotations

import operator
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from heapq import nlargest
from itertools import islice
from typing import Final

#: End of a message whose details only the operator gets.
SEE_LOG: Final = "; the log of the server has the details"
_MAX_VALUE_CHARS = 200
_MAX_CHOICES = 20
# Anybody may choose the texts that `similar_texts` compares, and the event loop waits for it.
MAX_ASKED: Final = 3
MAX_CANDIDATES: Final = 20
#: A detailed comparison of two such texts takes up to half a millisecond.
MAX_COMPARED_CHARS: Final = 100
MAX_KNOWN: Final = 2_000


def shown(value: object) -> str:
    """Return ``repr(value)``, shortened so that untrusted values are safe to print."""
    text = repr(value)
    if len(text) <= _MAX_VALUE_CHARS:
        return text
    return f"{text[:_MAX_VALUE_CHARS]}… ({len(text):,} characters)"


def choices(names: Iterable[str]) -> str:
    """Return ``'a', 'b' and 3 more``, sorted; ``none yet`` for no names."""
    ordered = sorted(names)
    if not ordered:
        return "none yet"
    listed = ", ".join(shown(name) for name in ordered[:_MAX_CHOICES])
    more = len(ordered) - _MAX_CHOICES
    return f"{listed} and {more} more" if more > 0 else listed


def similarity(first: str, second: str) -> float:
    """Return the share of characters in common blocks; cubic in the worst case."""
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def similar_texts(
    asked: Iterable[str],
    known: Iterable[str],
    *,
    limit: int = 5,
    min_similarity: float = 0.6,
    compare: Callable[[str, str], float] = similarity,
) -> list[str]:
    """Return up to ``limit`` known texts for each of the first asked, the best first.

    A cheap measure chooses the candidates; only those are compared in detail. Ignores case, and
    compares the first `MAX_COMPARED_CHARS` characters of the first `MAX_ASKED` and `MAX_KNOWN`
    texts.
    """
    candidates = [(each, _pairs(_start(each))) for each in islice(known, MAX_KNOWN)]
    found: dict[str, None] = {}
    for text in map(_start, islice(asked, MAX_ASKED)):
        pairs = _pairs(text)
        overlaps = ((_overlap(pairs, others), each) for each, others in candidates)
        chosen = nlargest(MAX_CANDIDATES, overlaps, key=operator.itemgetter(0))
        compared = [(compare(_start(each), text), each) for _, each in chosen]
        similar = [each for each in compared if each[0] >= min_similarity]
        found |= {each: None for _, each in nlargest(limit, similar, key=operator.itemgetter(0))}
    return list(found)


def _start(text: str) -> str:
    return text[:MAX_COMPARED_CHARS].casefold()[:MAX_COMPARED_CHARS]


def _pairs(text: str) -> set[str]:
    """Return the pairs of adjacent characters, with both ends."""
    padded = f"\0{text}\0"
    return set(map(operator.add, padded, padded[1:]))


def _overlap(first: set[str], second: set[str]) -> float:
    """Return the Dice coefficient, 0 to 1."""
    return 2 * len(first & second) / (len(first) + len(second))


class SightlineError(Exception):
    """Base class. Messages are written for the person or model that must act on them.

    ``details`` are for the operator only, because they may contain addresses, paths, and texts of
    other servers: `describe` adds them in logs and commands.
    """

    def __init__(self, *args: object, details: str = "") -> None:
        super().__init__(*args)
        self.details = details


def describe(error: BaseException) -> str:
    """Return the message of an error with its details, for the operator."""
    details = getattr(error, "details", "")
    return f"{str(error).removesuffix(SEE_LOG)} ({details})" if details else str(error)


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group and the groups in it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def first_error_only() -> Iterator[None]:
    """Raise the first error of a group that the block raises, such as of its tasks."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise first_error(group) from group


class ConfigurationError(SightlineError):
    """A setting or a command argument is wrong."""


class MissingExtraError(ConfigurationError):
    """A package of an extra is not installed."""

    def __init__(self, sentence: str, extra: str) -> None:
        # With the interpreter, because another pip does not know this installation.
        command = shlex.join([sys.executable, "-m", "pip", "install", f"sightline-mcp[{extra}]"])
        super().__init__(f"{sentence} Run: {command}")


class InvalidArgumentError(SightlineError):
    """A caller's value is wrong."""


class UnknownNameError(InvalidArgumentError):
    """A name is unknown: ``Unknown collection 'x'. Available: 'album', 'receipts'.``

    If there are too many names to list, the similar ones are named first. ``hint`` is a sentence.
    """

    def __init__(self, what: str, name: object, known: Iterable[str], *, hint: str = "") -> None:
        names = list(known)
        similar = ""
        if len(names) > _MAX_CHOICES:
            close = similar_texts([str(name)], names)
            similar = f" Similar: {choices(close)}." if close else ""
        message = f"Unknown {what} {shown(name)}.{similar} Available: {choices(names)}. {hint}"
        super().__init__(message.rstrip())


class UnknownAssetError(UnknownNameError):
    """One or more asset ids are unknown."""

    def __init__(self, ids: Iterable[str]) -> None:
        InvalidArgumentError.__init__(
            self,
            f"Unknown asset {choices(ids)}. Take ids of 12 letters and digits from search results, "
            "such as of search_images with the filter file_name. The asset may have been deleted.",
        )


class NotAllowedError(SightlineError):
    """A valid request is refused."""


class TooManyCallsError(SightlineError):
    """A rate limit is exceeded. ``seconds``: time until a retry can succeed."""

    def __init__(self, message: str, *, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class MediaError(SightlineError):
    """A file cannot be decoded as its type. ``code``: one word, for statistics."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StorageError(SightlineError):
    """Postgres refused or failed."""


class DatabaseUnavailableError(StorageError):
    """Postgres cannot be reached."""


class LockTimeoutError(StorageError):
    """Another operation held a lock for too long. Nothing was changed."""


class SchemaError(StorageError):
    """The database schema is unsafe or not of the version that this code needs."""


class SpaceMismatchError(SightlineError):
    """An encoder does not match the embedding space."""

    def __init__(self, space: str, encoder: str) -> None:
        super().__init__(
            f"The collection's vectors were made by {space}, but the configured encoder is "
            f"{encoder}. Vectors of different encoders cannot be compared. Configure the original "
            "encoder, give the collection vectors of the configured one (`sightline reencode "
            "COLLECTION`), or ingest into a new collection."
        )


class ModelError(SightlineError):
    """A model failed."""


class ModelUnavailableError(ModelError):
    """A model is still loading or cannot be reached."""


class ModelOverloadedError(ModelError):
    """Too many calls wait for a model or another shared resource."""
