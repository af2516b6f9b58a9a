"""Training of the built-in open-vocabulary detector."""
