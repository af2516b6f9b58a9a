"""Types of settings, with their parsing and validation."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

_LOCAL_OR_HUB = r"local-dir:.+|[\w.-]+/[\w.-]+"
_HOST = r"^(\*\.)?[\w-]+(\.[\w-]+)*(:\d{1,5})?$"


def _split(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return BeforeValidator(split)


def _absolute(value: object) -> object:
    return Path(value).expanduser().absolute() if isinstance(value, str | Path) else value


def _matches(pattern: str, choices: str) -> BeforeValidator:
    """Return a validator whose error lists the choices."""

    def validate(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            msg = f"use {choices}"
            raise ValueError(msg)
        return value

    return BeforeValidator(validate)


def _http_url(value: object) -> object:
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "use an http:// or https:// URL"
            raise ValueError(msg)
    return value


def _no_slash(value: object) -> object:
    return value.rstrip("/") if isinstance(value, str) else value


def _network(value: object) -> object:
    return ipaddress.ip_network(value) if isinstance(value, str) else value


AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
Host = Annotated[str, Field(pattern=_HOST)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
Paths = Annotated[tuple[AbsolutePath, ...], NoDecode, _split(os.pathsep)]
Words = Annotated[tuple[str, ...], NoDecode, _split(",")]
Hosts = Annotated[tuple[Host, ...], NoDecode, _split(",")]
Networks = Annotated[tuple[Network, ...], NoDecode, _split(",")]
#: Asymmetric signature algorithms only.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
Algorithms = Annotated[tuple[Algorithm, ...], NoDecode, _split(","), Field(min_length=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
EncoderName = Annotated[
    str,
    _matches(
        r"builtin|local-dir:.+|hf-hub:[\w.-]+/[\w.-]+|[\w.-]+/[\w.-]+",
        "'builtin', 'ARCH/PRETRAINED' (open_clip), 'hf-hub:OWNER/MODEL' or 'local-dir:PATH'",
    ),
]
PassageEncoderName = Annotated[
    str,
    _matches(
        rf"encoder|minilm|{_LOCAL_OR_HUB}",
        "'encoder', 'minilm', 'OWNER/MODEL' (Hugging Face hub) or 'local-dir:PATH'",
    ),
]
RerankerName = Annotated[
    str,
    _matches(
        rf"off|vlm|{_LOCAL_OR_HUB}",
        "'off', 'vlm', 'OWNER/MODEL' (Hugging Face hub) or 'local-dir:PATH'",
    ),
]
DeviceName = Annotated[
    str, _matches(r"auto|cpu|mps|cuda(:\d+)?", "'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'")
]
#: URL without a slash at the end.
HttpUrl = Annotated[str, BeforeValidator(_no_slash), BeforeValidator(_http_url)]
#: Unchanged URL: an issuer is compared character by character.
ExactUrl = Annotated[str, BeforeValidator(_http_url)]
