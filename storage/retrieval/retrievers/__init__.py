"""Vector and lexical retrievers."""
