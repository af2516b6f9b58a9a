"""Types of settings, with their parsing and validation."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Secret,
    SecretStr,
)
from pydantic_settings import NoDecode

from sightline.storage.errors import ConfigurationError, shown
from sightline.storage.ingest.discover.public_addresses import IpNetwork

_URL_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:/?#@\s]*):[^/?#\s]*(?=@)")
_KEYWORD_PASSWORD = re.compile(
    r"\b(?P<key>password|sslpassword)\s*=\s*(?:'(?:\\.|[^'\\])*'|[^\s&]+)", re.IGNORECASE
)
_LOCAL_OR_HUB = r"local-dir:.+|[\w.-]+/[\w.-]+"
#: A model in the catalog, or one that was pulled or exported.
_INSTALLED = r"\w[\w.-]*"
_CHOICES = "a name of `sightline models list`, 'OWNER/MODEL' or 'local-dir:PATH'"
_HOST = r"^(\*\.)?[\w-]+(\.[\w-]+)*(:\d{1,5})?$"


def redact_dsn(text: str) -> str:
    """Replace the passwords of all connection strings in a text by ``***``.

    Supports both libpq formats: ``postgresql://user:password@host`` and ``password=...``.
    """
    without_userinfo = _URL_PASSWORD.sub(r"\g<user>:***", text)
    return _KEYWORD_PASSWORD.sub(r"\g<key>=***", without_userinfo)


class SettingsGroup(BaseModel):
    """Base of the groups. The docstring of a group is its title in the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DatabaseUrl(Secret[str]):
    """libpq connection string whose string form hides the password."""

    def _display(self) -> str:
        return redact_dsn(self.get_secret_value())


def _split(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return BeforeValidator(split)


def _matches(pattern: str, choices: str) -> AfterValidator:
    """Return a validator whose error lists the choices."""

    def validate(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"use {choices}")
        return value

    return AfterValidator(validate)


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("use an http:// or https:// URL")
    return value


def _network(value: object) -> object:
    return ipaddress.ip_network(value) if isinstance(value, str) else value


def absolute_path(path: str | Path) -> Path:
    """Return the absolute path; a ``~`` at its beginning is a home folder.

    Raises ConfigurationError for that of an unknown user.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        user = Path(path).parts[0]
        raise ConfigurationError(
            f"{shown(str(path))} cannot be opened: {shown(user)} is no home folder. Give the whole "
            "path."
        ) from error


def _absolute(path: Path) -> Path:
    try:
        return absolute_path(path)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Host = Annotated[str, Field(pattern=_HOST)]
Network = Annotated[IpNetwork, BeforeValidator(_network)]
Paths = Annotated[tuple[AbsolutePath, ...], NoDecode, _split(os.pathsep)]
Words = Annotated[tuple[str, ...], NoDecode, _split(",")]
Hosts = Annotated[tuple[Host, ...], NoDecode, _split(",")]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, _split(",")]
Networks = Annotated[tuple[Network, ...], NoDecode, _split(",")]
#: Asymmetric signature algorithms only.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
Algorithms = Annotated[tuple[Algorithm, ...], NoDecode, _split(","), Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
EncoderName = Annotated[
    str,
    _matches(
        rf"{_INSTALLED}|hf-hub:[\w.-]+/[\w.-]+|{_LOCAL_OR_HUB}",
        "'builtin', a name of `sightline models list`, 'ARCH/PRETRAINED' (open_clip), "
        "'hf-hub:OWNER/MODEL' or 'local-dir:PATH'",
    ),
]
PassageEncoderName = Annotated[
    str, _matches(rf"{_INSTALLED}|{_LOCAL_OR_HUB}", f"'encoder', 'minilm', {_CHOICES}")
]
RerankerName = Annotated[
    str,
    # Somebody who turns it on means one of the models.
    _matches(rf"(?!(on|true|yes)$){_INSTALLED}|{_LOCAL_OR_HUB}", f"'off', 'vlm', {_CHOICES}"),
]
DetectorName = Annotated[
    str, _matches(rf"builtin|off|{_LOCAL_OR_HUB}", f"'builtin', 'off', {_CHOICES}")
]
DeviceName = Annotated[
    str, _matches(r"auto|cpu|mps|cuda(:\d+)?", "'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'")
]
#: URL without a slash at the end.
HttpUrl = Annotated[str, AfterValidator(_http_url), AfterValidator(lambda url: url.rstrip("/"))]
#: Unchanged URL: an issuer is compared character by character.
ExactUrl = Annotated[str, AfterValidator(_http_url)]
