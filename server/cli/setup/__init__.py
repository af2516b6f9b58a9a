"""``sightline setup``: choose models, ingest, search and connect clients."""
