"""What is remembered: Postgres, tables, ingest, retrievers and the analytics views."""
