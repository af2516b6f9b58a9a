"""Open, migrate, back up and restore the Postgres database."""
