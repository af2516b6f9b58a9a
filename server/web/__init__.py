"""Web app: its source in ``app/``, the built bundle, and the pages that load it."""
