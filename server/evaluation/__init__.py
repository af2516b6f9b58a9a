"""Evaluate retrieval and answers on a run file (`sightline eval`).

Empty, because `evaluators` imports ir_measures and the search, which the CLI loads only on use.
"""
