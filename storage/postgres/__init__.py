"""A Postgres of our own in the data folder, for people who have none."""

from sightline.storage.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
