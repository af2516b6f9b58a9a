"""Connection pool, SQL statements, rows by name and row-level security."""

#: Defaults of the connection pool. They are here because the settings must not import psycopg.
MAX_CONNECTIONS = 8
ACQUIRE_TIMEOUT_SECONDS = 20.0
STATEMENT_TIMEOUT_SECONDS = 30.0
#: How long searches stay in the table ``retrieval_log``.
LOG_RETENTION_DAYS = 90
#: How long a statement waits for a lock; an ingest and an index build wait longer.
LOCK_TIMEOUT_SECONDS = 10.0
#: Candidates of a search in a vector index. Fewer reduce the recall of text queries on images.
EF_SEARCH = 200
#: Vectors after which the index gives up, and the exact scan takes over.
MAX_SCAN_TUPLES = 60_000
