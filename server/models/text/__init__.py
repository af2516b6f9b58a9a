"""Passage encoders and rerankers. Empty: importing it must stay cheap."""
