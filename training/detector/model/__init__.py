"""The detector in torch, and its export."""
