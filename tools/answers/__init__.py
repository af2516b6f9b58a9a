"""Answers with citations and checked claims.

- `answer_context`: the numbered evidence.
- `answer_prompts`, `answer_parser`: the request to the model and its reply as claims.
- `statements`, `checks`: what a claim states, and checks of that without the model.
- `claim_verification`: a verdict for each claim.
- `rating`: the calibrated confidence, and the status of an answer.
- `answer_pipeline`: all of these for one question.
"""
