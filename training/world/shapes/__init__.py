"""Scene family: shapes."""
