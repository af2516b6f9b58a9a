"""Worker processes: open, check and decode files that nobody vouches for.

Empty on purpose. Modules here must not import pydantic, torch, LlamaIndex or the database: a
worker starts in a fraction of a second and may be killed at any time.
"""
