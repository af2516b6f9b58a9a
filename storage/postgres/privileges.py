"""Revokes what ordinary roles of the embedded Postgres do not need.

Postgres grants every function of its catalog to PUBLIC, also those that take locks, wait, write
large objects or the transaction log, or signal other sessions. The rights of functions belong to a
database. On an external server the administrator decides; see docs/how-to/operate.md.
"""

from __future__ import annotations

from psycopg import Connection
from psycopg.rows import TupleRow

# Volatile functions are revoked, also those of a later version of Postgres, and those below that
# assign a transaction id or count the rows of tables. The kept ones change nothing outside of
# their session; nextval and setval also need rights on a sequence. Temporary tables are files
# without a limit.
_REVOKE = r"""
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
            AND has_function_privilege('public', oid, 'EXECUTE')
            AND (
                provolatile = 'v'
                OR proname IN ('txid_current', 'pg_current_xact_id')
                OR proname LIKE 'pg\_stat\_get\_%'
            )
            AND proname NOT IN (
                'array_sample', 'array_shuffle', 'clock_timestamp', 'gen_random_uuid', 'random',
                'random_normal', 'timeofday', 'uuidv4', 'uuidv7', 'setseed', 'set_config',
                'current_query', 'pg_is_in_recovery', 'currval', 'lastval', 'nextval', 'setval',
                'pg_relation_size', 'pg_table_size', 'pg_indexes_size', 'pg_total_relation_size',
                'pg_database_size', 'pg_tablespace_size'
            )
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', routine);
    END LOOP;
    IF has_database_privilege('public', current_database(), 'TEMPORARY') THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    END IF;
END
$$
"""


def restrict_public(connection: Connection[TupleRow]) -> None:
    """Revoke the rights in the database of a superuser's connection. Idempotent."""
    connection.execute(_REVOKE)
