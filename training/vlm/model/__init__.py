"""Model definition, losses and export of the built-in LLaVA."""
