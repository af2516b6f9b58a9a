"""Turn a search request into an encoded and scoped query."""
