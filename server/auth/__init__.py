"""Authentication by static tokens and JSON Web Tokens, and scopes."""
