"""Connection pool, SQL loader, rows by name and row-level security."""

#: Default limits of a connection pool. They are here because settings must not import psycopg.
MAX_CONNECTIONS = 8
ACQUIRE_TIMEOUT_SECONDS = 20.0
STATEMENT_TIMEOUT_SECONDS = 30.0

#: Defaults of the connection pool. They are here because the settings must not import psycopg.
MAX_CONNECTIONS = 8
ACQUIRE_TIMEOUT_SECONDS = 20.0
STATEMENT_TIMEOUT_SECONDS = 30.0
