"""Answers that stand on evidence: gather and number it, ask, read the answer, check every claim.

- `evidence`: what is shown to the model, numbered from 1.
- `asking`: the prompt, in the form that the model's family takes.
- `reading`: the model's answer as claims that cite evidence.
- `checking`: a verdict for each claim, by `founding` (texts and pixels), a second look and `crops`.
- `confidence`: how likely the answer is right.
- `readings`: one answer, or several, where several pictures match equally.
"""
