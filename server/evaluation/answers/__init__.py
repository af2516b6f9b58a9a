"""Answer evaluation: correctness, citations, abstention."""
