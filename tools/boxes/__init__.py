"""Boxes as vision-language models write them.

- `model_profiles`, `model_families`: prompt, image size and box format of each model family.
- `letterbox`: resizes an image for a model.
- `box_parser` (with `notations` and `tolerant_json`): parses the boxes in a reply.
- `notations`: also writes boxes in the format of a family.
- `geometry`: functions on boxes.

The canonical box is normalized xyxy (0 to 1 of the upright image), origin top left.
"""
