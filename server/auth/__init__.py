"""Who calls: static tokens and JSON Web Tokens, the scopes that they carry, what each allows."""
