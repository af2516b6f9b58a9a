"""Sightline: multimodal retrieval for AI agents over MCP."""

import os

# ONNX Runtime reports its use to Microsoft unless this is set before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
