"""Training stages of the built-in LLaVA."""
