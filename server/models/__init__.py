"""Image and text encoders, the batcher, OCR and the client of the vision-language model."""
