"""How sure an answer is, and whether it is given.

- `confidence`: the calibrated probability that an answer is right.
- `answer_status`: the status of an answer by its claims, its confidence and its domain.
"""
