"""All errors that Sightline raises on purpose.

SightlineError
├── ConfigurationError        a setting or a command argument is wrong
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

from collections.abc import Iterable
from difflib import get_close_matches

_MAX_VALUE_CHARS = 200
_MAX_CHOICES = 20


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
    return f"{error} ({details})" if details else str(error)


class ConfigurationError(SightlineError):
    """A setting or a command argument is wrong."""


class InvalidArgumentError(SightlineError):
    """A caller's value is wrong."""


class UnknownNameError(InvalidArgumentError):
    """A name is unknown: ``Unknown collection 'x'. Available: 'album', 'receipts'.``

    If there are too many names to list, the similar ones are named first.
    """

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        names = list(known)
        similar = ""
        if len(names) > _MAX_CHOICES:
            close = get_close_matches(str(name)[:_MAX_VALUE_CHARS], names, n=5)
            similar = f" Similar: {choices(close)}." if close else ""
        super().__init__(f"Unknown {what} {shown(name)}.{similar} Available: {choices(names)}.")


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
            "encoder, or ingest into a new collection."
        )


class ModelError(SightlineError):
    """A model failed."""


class ModelUnavailableError(ModelError):
    """A model is still loading or cannot be reached."""


class ModelOverloadedError(ModelError):
    """Too many calls wait for a model or another shared resource."""
