"""Scene family: product cards."""
