"""The tiny built-in LLaVA, which answers in this process."""
