"""Order the hits: fusion, reranking, near-duplicates and diversity (MMR)."""
