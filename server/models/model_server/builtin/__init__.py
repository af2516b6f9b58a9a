"""Small OpenAI-compatible server for one LLaVA: ``sightline vlm builtin``."""
