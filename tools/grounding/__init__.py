"""Answers that stand on evidence: gather and number it, ask, read the answer, check every claim.

- `evidence`: what is shown to the model, numbered from 1.
- `asking`: the prompt, in the form that the model's family takes.
- `reading`: the model's answer as claims that cite evidence.
- `checking`: a verdict for each claim.
"""
