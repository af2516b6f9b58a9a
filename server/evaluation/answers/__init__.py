"""Answer evaluation: correctness, citations and abstention under several conditions."""
