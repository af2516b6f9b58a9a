"""A Postgres of our own in the data folder, for people who have none. Linux and macOS."""

import os

from sightline.storage.errors import ConfigurationError

if os.name != "posix":
    raise ConfigurationError(
        "Sightline's own Postgres runs on Linux and macOS; here, set SIGHTLINE_DATABASE__URL to a "
        "Postgres with pgvector 0.8 or newer (or run Sightline in WSL)"
    )

from sightline.storage.postgres.embedded_postgres import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
