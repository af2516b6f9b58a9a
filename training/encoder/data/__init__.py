"""Training data of the encoder."""
