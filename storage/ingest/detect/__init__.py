"""Detection of a collection's vocabulary, after its pictures are stored."""
