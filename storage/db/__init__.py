"""Connection pool, SQL loader, driver errors and row-level security."""
