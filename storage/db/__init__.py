"""Connection pool, SQL loader, driver errors and row-level security."""

#: Default limits of a connection pool. They are here because settings must not import psycopg.
MAX_CONNECTIONS = 8
ACQUIRE_TIMEOUT_SECONDS = 20.0
STATEMENT_TIMEOUT_SECONDS = 30.0
