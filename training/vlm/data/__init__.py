"""Training data of the built-in LLaVA."""
