from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sightline.storage.db.pool import Database
from sightline.storage.retrieval import ImageSearch, PassageSearch
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder

SIGNING_KEY = b"test signing key"


@pytest.fixture(scope="module")
def module_dsn(postgres_dsn: str, _template: str) -> Iterator[str]:
    """Return the DSN of a migrated, empty database that the tests of a module share."""
    name = f"module_{secrets.token_hex(4)}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(_template)}
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        yield make_conninfo(postgres_dsn, dbname=name)
        connection.execute(sql.SQL("DROP DATABASE {name} (FORCE)").format(**names))


@pytest.fixture
def encoder() -> ColorHistogramEncoder:
    return ColorHistogramEncoder()


@pytest.fixture
def corpus(database: Database, encoder: ColorHistogramEncoder) -> Corpus:
    return Corpus(database, encoder)


@pytest.fixture
def images(database: Database, encoder: ColorHistogramEncoder) -> ImageSearch:
    return ImageSearch(database, encoder, encoder, signing_key=SIGNING_KEY)


@pytest.fixture
def passages(database: Database, encoder: ColorHistogramEncoder) -> PassageSearch:
    return PassageSearch(database, encoder, signing_key=SIGNING_KEY)
