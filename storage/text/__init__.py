"""Text analysis: normalization, tokens, stems, queries and special tokens."""
