"""From files to rows: find, read, encode, write.

Kept empty of imports: the worker processes load this package and must stay light.

- `pipeline.ingest` is the way in; `options` and `progress` are what it takes and gives.
- `discovery`, `archives`, `sidecars`, `tables`: what there is and what is said about it.
- `worker/`: reads one hostile file in a process that may be killed; `pool` drives the processes.
- `identify`: what is new, known, moved or there twice. `indexes`: the vector index of a load.
- `encoding`, `passages`, `writing`, `copying`: vectors, text and transactions.
"""
