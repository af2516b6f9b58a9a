"""Vision-language models: the protocol, phrase grounding and reranking."""
