"""Turns the driver's errors into ours, at the edge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from sightline.storage.errors import DatabaseUnavailableError, StorageError

# The server said goodbye (class 57) or could not take one more (53300).
_GONE = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
)


def unavailable(error: psycopg.Error) -> DatabaseUnavailableError:
    """The error with the driver's reason on one line."""
    reason = " ".join(str(error).split())
    return DatabaseUnavailableError(f"the database cannot be reached: {reason}")


@contextmanager
def named_errors() -> Iterator[None]:
    """Raises StorageError or DatabaseUnavailableError in place of any psycopg error."""
    try:
        yield
    except errors.QueryCanceled as error:
        raise StorageError(f"the database gave up on a statement: {error}") from error
    except psycopg.OperationalError as error:
        # Without an SQLSTATE the error is the client library's: the line is dead.
        if error.sqlstate is None or isinstance(error, _GONE):
            raise unavailable(error) from error
        raise StorageError(f"the database failed: {error}") from error
    except psycopg.Error as error:
        raise StorageError(f"the database refused: {error}") from error
