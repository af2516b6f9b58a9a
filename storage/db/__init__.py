"""Connection pool, SQL statements, rows by name and row-level security."""

#: Defaults of the connection pool. They are here because the settings must not import psycopg.
MAX_CONNECTIONS = 8
ACQUIRE_TIMEOUT_SECONDS = 20.0
STATEMENT_TIMEOUT_SECONDS = 30.0
