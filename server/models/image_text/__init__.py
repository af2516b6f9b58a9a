"""Image and text encoders. Empty: worker processes import `preprocess` without torch."""
