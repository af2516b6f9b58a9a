"""Databases of a role that may create roles, but is no superuser, as on a managed service."""

from __future__ import annotations

import os

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

OWNER = "test_owner"


def is_requested() -> bool:
    """Return whether ``SIGHTLINE_TEST_ROLE=createrole`` asks for such databases in all tests."""
    role = os.environ.get("SIGHTLINE_TEST_ROLE")
    assert role in (None, "createrole"), f"SIGHTLINE_TEST_ROLE={role}; the only value is createrole"
    return role is not None


def create_owner(administrator: str) -> None:
    """Create the role on the server of a superuser's DSN."""
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB").format(sql.Identifier(OWNER))
        )


def create_owned_database(administrator: str, name: str, owner: str = OWNER) -> str:
    """Create a database in which an administrator has installed pgvector; return the owner's DSN.

    It is not a copy of template1, in which the embedded Postgres restricts the rights of all roles.
    """
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))
    with psycopg.connect(make_conninfo(administrator, dbname=name)) as connection:
        connection.execute("CREATE SCHEMA sightline_vector")
        connection.execute("GRANT USAGE ON SCHEMA sightline_vector TO PUBLIC")
        connection.execute("CREATE EXTENSION vector WITH SCHEMA sightline_vector")
    return make_conninfo(administrator, dbname=name, user=owner)
