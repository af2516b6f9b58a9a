"""Evaluate retrieval and answers on a run file (`sightline eval`).

Empty, because `evaluators` imports the search, which the CLI loads only on use.
"""
