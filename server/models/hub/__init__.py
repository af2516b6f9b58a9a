"""Downloads of models from a hub that speaks the protocol of Hugging Face."""
