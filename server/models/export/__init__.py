"""Exports models to ONNX. Empty: its modules import torch."""
