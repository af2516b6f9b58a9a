"""Key that signs cursors and links to media: a setting, or a file."""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from sightline.server.config import Settings

logger = logging.getLogger(__name__)

_KEY_BYTES = 32


def load_signing_key(settings: Settings) -> bytes:
    """Load or create the key of a data folder; use a temporary key if that fails."""
    if settings.auth.signing_key is not None:
        return settings.auth.signing_key.get_secret_value().encode()
    path = settings.data_dir / "signing.key"
    try:
        return _read_key(path) or _create_key(path)
    except OSError as error:
        logger.warning(
            "cursors and links to media become invalid when this process ends: %s", error
        )
        return secrets.token_bytes(_KEY_BYTES)


def _read_key(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _create_key(path: Path) -> bytes:
    """Write a new key atomically with mode 600, unless another process was faster."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(prefix=path.name, dir=path.parent) as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        if _read_key(path) is None:
            path.unlink(missing_ok=True)
        # Unlike a rename, a link never replaces the key of another process.
        with suppress(FileExistsError):
            os.link(file.name, path)
    return path.read_bytes()
