"""Passage encoders and cross-encoder rerankers. Empty: importing it must stay cheap."""
