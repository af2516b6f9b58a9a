"""Answers with citations and checked claims.

- `answer_context`: the numbered evidence.
- `answer_prompts`, `answer_parser`: the request to the model and its reply as claims.
- `claim_checks`, `claim_verification`: a verdict for each claim.
- `confidence`: the calibrated probability that the answer is right.
- `answer_pipeline`: all of these for one question.
"""
