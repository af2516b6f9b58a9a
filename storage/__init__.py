"""Storage: Postgres, ingest, retrieval, records and analytics."""
