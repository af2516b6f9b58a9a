"""Servers for vision-language models: vLLM, and a small built-in one."""
