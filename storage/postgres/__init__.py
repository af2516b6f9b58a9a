"""Embedded Postgres in the data folder, for Linux and macOS."""

import os

from sightline.storage.errors import ConfigurationError

if os.name != "posix":
    raise ConfigurationError(
        "The embedded Postgres runs only on Linux and macOS. Set SIGHTLINE_DATABASE__URL to a "
        "Postgres with pgvector 0.8 or newer, or run Sightline in WSL."
    )

from sightline.storage.postgres.embedded_postgres import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
