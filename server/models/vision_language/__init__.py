"""Client of a vision-language model. Empty: httpx is imported only for a client."""
