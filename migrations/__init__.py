"""Alembic migrations; they run from the installed package as well as from a checkout."""
