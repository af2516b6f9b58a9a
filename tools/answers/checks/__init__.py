"""Checks of claims against their evidence, mostly without the answering model.

- `check_types`: the result of a check.
- `crop_score`: the box of a claim against the rest of the image, by the encoder.
- `domain`: what the built-in models do not know.
- `scene`: one image with its text, the boxes of the detector, and its capture time.
- `object_checks`, `place_checks`, `color_checks`, `text_checks`: the checks.
- `run_checks`: all checks of a statement, with their times.
- `color_presence`: the share of an image that each color has.
- `claim_checks`: all checks of a claim: citations, words, colors, statements, models.
"""
