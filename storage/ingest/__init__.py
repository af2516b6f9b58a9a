"""From files to rows: discover, hash, dedup, decode, embed, write.

Empty on purpose: the worker processes import this package and must start fast. The API is
`pipeline.ingest` with `ingest_options` and `progress`; `stage_types` has the data of each stage.
"""
