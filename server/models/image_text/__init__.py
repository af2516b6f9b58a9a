"""Image and text encoders. Empty: workers import `preprocess` without torch."""
