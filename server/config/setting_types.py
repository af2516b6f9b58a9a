"""Types of settings: what their text may be, and what it becomes."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

_ENCODER = re.compile(r"builtin|local-dir:.+|hf-hub:[\w.-]+/[\w.-]+|[\w.-]+/[\w.-]+")
_HOST = r"^(\*\.)?[\w-]+(\.[\w-]+)*(:\d{1,5})?$"
_PASSAGE_ENCODER = re.compile(r"encoder|minilm|local-dir:.+|[\w.-]+/[\w.-]+")
_RERANKER = re.compile(r"off|vlm|local-dir:.+|[\w.-]+/[\w.-]+")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def _split(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return BeforeValidator(split)


def _absolute(value: object) -> object:
    return Path(value).expanduser().absolute() if isinstance(value, str | Path) else value


def _known_encoder(value: object) -> object:
    if isinstance(value, str) and not _ENCODER.fullmatch(value):
        msg = (
            "use 'builtin', 'ARCH/PRETRAINED' (open_clip), 'hf-hub:OWNER/MODEL' or 'local-dir:PATH'"
        )
        raise ValueError(msg)
    return value


def _known_passage_encoder(value: object) -> object:
    if isinstance(value, str) and not _PASSAGE_ENCODER.fullmatch(value):
        msg = "use 'encoder', 'minilm', 'OWNER/MODEL' (Hugging Face hub) or 'local-dir:PATH'"
        raise ValueError(msg)
    return value


def _known_reranker(value: object) -> object:
    if isinstance(value, str) and not _RERANKER.fullmatch(value):
        msg = "use 'off', 'vlm', 'OWNER/MODEL' (Hugging Face hub) or 'local-dir:PATH'"
        raise ValueError(msg)
    return value


def _known_device(value: object) -> object:
    if isinstance(value, str) and not _DEVICE.fullmatch(value):
        msg = "use 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'"
        raise ValueError(msg)
    return value


def _http_url(value: object) -> object:
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "use an http:// or https:// address"
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
#: Signatures by a key pair: none with a shared secret, and none without a key.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
Algorithms = Annotated[tuple[Algorithm, ...], NoDecode, _split(","), Field(min_length=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
EncoderName = Annotated[str, BeforeValidator(_known_encoder)]
PassageEncoderName = Annotated[str, BeforeValidator(_known_passage_encoder)]
RerankerName = Annotated[str, BeforeValidator(_known_reranker)]
DeviceName = Annotated[str, BeforeValidator(_known_device)]
#: Without a slash at its end.
HttpUrl = Annotated[str, BeforeValidator(_no_slash), BeforeValidator(_http_url)]
#: As it was given: an issuer is compared letter by letter.
ExactUrl = Annotated[str, BeforeValidator(_http_url)]
