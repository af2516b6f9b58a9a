"""Commands for analysts: SQL, maps, exports and evaluation."""
