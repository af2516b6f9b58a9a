"""Uses of a vision-language model by the tools."""
