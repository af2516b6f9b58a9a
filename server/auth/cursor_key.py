"""The key that signs cursors: set for several servers to share, else kept in the data folder."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from sightline.server.config.settings import Settings

logger = logging.getLogger(__name__)

_BYTES = 32


def load_signing_key(settings: Settings) -> bytes:
    """The same key at every start of this data folder; a fresh one where it cannot be kept."""
    if settings.signing_key is not None:
        return settings.signing_key.get_secret_value().encode()
    path = settings.data_dir / "signing.key"
    try:
        return _read(path) or _make(path)
    except OSError as error:
        logger.warning("cursors will not outlive this process: %s", error)
        return secrets.token_bytes(_BYTES)


def _read(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == _BYTES else None


def _make(path: Path) -> bytes:
    """Write a new key, whole and readable to its owner alone; another process may be quicker."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        if _read(path) is None:
            path.unlink(missing_ok=True)
        try:
            os.link(unfinished, path)  # unlike a rename, never replaces what another has made
        except FileExistsError:
            logger.debug("another process made the key first")
    finally:
        unfinished.unlink()
    return path.read_bytes()
