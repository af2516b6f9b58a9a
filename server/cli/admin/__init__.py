"""Commands for operators: database, access, doctor and config."""
