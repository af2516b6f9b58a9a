"""Servers for vision-language models: vLLM as a subprocess, and a small built-in one."""
