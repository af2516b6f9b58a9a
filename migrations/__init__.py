"""Alembic migrations, for the installed package and for a checkout."""
