"""Encoder towers, losses, EMA and export."""
