"""How much one request may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound, with its unit in its name. ``waiting_requests`` wait beside the one served."""

    body_bytes: int = 32 * 2**20
    images_per_prompt: int = 8
    image_pixels: int = 24_000_000
    image_bytes: int = 16 * 2**20
    messages: int = 64
    text_chars: int = 100_000
    waiting_requests: int = 32
    default_max_tokens: int = 256
    schema_chars: int = 20_000
    stop_strings: int = 8
    top_logprobs: int = 20
