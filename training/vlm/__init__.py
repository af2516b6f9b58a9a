"""Training, evaluation and export of ``builtin-llava``, the small built-in LLaVA.

``data.prompt`` and ``data.letterbox`` do not import torch or transformers.
"""
