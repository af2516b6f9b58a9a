"""Commands on stored material: ingest, search, show, failures, annotations."""
