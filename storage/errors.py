"""Every failure that Sightline names.

SightlineError
├── ConfigurationError        a setting or an argument of a command is wrong
├── InvalidArgumentError      a caller's value is wrong; says the value and what would be valid
│   └── UnknownNameError      the value names nothing; lists what there is
│       └── UnknownAssetError an id of no asset; there are too many to list
├── NotAllowedError           the value is understood and refused (path roots, scopes, sizes)
├── TooManyCallsError         a caller has used up what it may ask for; says when to try again
├── MediaError                a file cannot be read as what it claims to be
├── StorageError              Postgres refused or failed
│   ├── DatabaseUnavailableError   it cannot be reached; worth trying again
│   └── SchemaError           the schema is not the one that this version needs
├── SpaceMismatchError        an encoder does not match the space that it was asked to work in
└── ModelError                a model failed
    ├── ModelUnavailableError it is loading or cannot be reached; worth trying again
    └── ModelOverloadedError  its queue is full; worth trying again
"""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN_VALUE_CHARS = 200
_SHOWN_CHOICES = 20


def shown(value: object) -> str:
    """``repr`` of a value that came from outside, cut to a length that is safe to print."""
    text = repr(value)
    if len(text) <= _SHOWN_VALUE_CHARS:
        return text
    return f"{text[:_SHOWN_VALUE_CHARS]}… ({len(text):,} characters)"


def choices(names: Iterable[str]) -> str:
    """``'a', 'b' and 3 more``, sorted; ``none yet`` where there are none."""
    ordered = sorted(names)
    if not ordered:
        return "none yet"
    listed = ", ".join(shown(name) for name in ordered[:_SHOWN_CHOICES])
    more = len(ordered) - _SHOWN_CHOICES
    return f"{listed} and {more} more" if more > 0 else listed


class SightlineError(Exception):
    """Base of all; its message is written for the person or model that has to act on it."""


class ConfigurationError(SightlineError):
    """A setting or an argument of a command is wrong."""


class InvalidArgumentError(SightlineError):
    """A caller's value is wrong."""


class UnknownNameError(InvalidArgumentError):
    """A name stands for nothing: ``no collection 'x'; there are 'album', 'receipts'``."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        super().__init__(f"no {what} {shown(name)}; there are: {choices(known)}")


class UnknownAssetError(UnknownNameError):
    """Ids stand for no asset: says which, and where ids come from."""

    def __init__(self, ids: Iterable[str]) -> None:
        InvalidArgumentError.__init__(
            self,
            f"no asset {choices(ids)}; take ids of 12 letters and digits from search results "
            "(it may have been deleted since)",
        )


class NotAllowedError(SightlineError):
    """The request is understood and refused."""


class TooManyCallsError(SightlineError):
    """A caller has used up what it may ask for. ``seconds`` until it is worth trying again."""

    def __init__(self, message: str, *, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class MediaError(SightlineError):
    """A file cannot be read as what it claims to be. ``code`` is one word for counting."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StorageError(SightlineError):
    """Postgres refused or failed."""


class DatabaseUnavailableError(StorageError):
    """Postgres cannot be reached."""


class SchemaError(StorageError):
    """The database's schema is not the one that this version needs."""


class SpaceMismatchError(SightlineError):
    """An encoder does not match the space that it was asked to work in."""

    def __init__(self, space: str, encoder: str) -> None:
        super().__init__(
            f"the collection's vectors were made by {space}, and the configured encoder is "
            f"{encoder}; vectors of different encoders cannot be compared. Set the encoder back, "
            "or ingest into a new collection."
        )


class ModelError(SightlineError):
    """A model failed."""


class ModelUnavailableError(ModelError):
    """A model is still loading or cannot be reached."""


class ModelOverloadedError(ModelError):
    """A model's queue is full."""
