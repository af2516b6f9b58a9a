"""The settings model.

A setting has a key such as ``http.port``. Its environment variable is ``SIGHTLINE_HTTP__PORT``; in
``sightline.toml`` it is ``port`` in the table ``[http]``. An empty variable counts as unset. In
variables, lists are separated by commas, and lists of paths by the path separator of the platform.
Secrets never appear in ``repr`` or in error messages.

Sources, from low to high priority: defaults, ``sightline.toml``, environment, command line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import platformdirs
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from sightline.server.config.setting_groups import (
    AnalyticsSettings,
    AuthSettings,
    DatabaseSettings,
    EncoderSettings,
    HttpSettings,
    IngestSettings,
    JudgeSettings,
    LimitSettings,
    LogSettings,
    RateLimitSettings,
    RerankerSettings,
    SettingsGroup,
    UrlSettings,
    VlmSettings,
)
from sightline.server.config.setting_types import AbsolutePath, Paths, Seconds
from sightline.storage.errors import ConfigurationError

PREFIX = "SIGHTLINE_"
DELIMITER = "__"
#: Environment variable with the path of the configuration file.
CONFIG_VARIABLE = "SIGHTLINE_CONFIG"

_Model = TypeVar("_Model", bound=BaseModel)


class Settings(BaseSettings):
    """All settings of a Sightline process. Use `load_settings` to create it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        validate_default=True,
    )

    data_dir: AbsolutePath = Field(
        default_factory=lambda: platformdirs.user_data_path("sightline", appauthor=False),
        description="Folder of the embedded Postgres and of stored images.",
    )
    allowed_roots: Paths = Field(
        default=(), description="Folders whose files tools may read by path."
    )
    default_collection: str = Field(
        default="default", min_length=1, description="Collection if a command names none."
    )
    startup_timeout_seconds: Seconds = Field(
        default=25.0,
        description="How long a call waits for a model or database that is still loading.",
    )
    database: DatabaseSettings = DatabaseSettings()
    encoder: EncoderSettings = EncoderSettings()
    reranker: RerankerSettings = RerankerSettings()
    vlm: VlmSettings = VlmSettings()
    judge: JudgeSettings = JudgeSettings()
    ingest: IngestSettings = IngestSettings()
    urls: UrlSettings = UrlSettings()
    limits: LimitSettings = LimitSettings()
    analytics: AnalyticsSettings = AnalyticsSettings()
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = AuthSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - signature of pydantic
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - signature of pydantic
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, highest priority first."""
        toml = TomlConfigSettingsSource(settings_cls, config_file(os.environ))
        return init_settings, env_settings, toml

    def replace(self, **overrides: Any) -> Self:
        """Return a copy with other values; ``http__port=0`` changes ``http.port``."""
        return _replace(self, nest(overrides))


def _replace(model: _Model, changes: Mapping[str, Any]) -> _Model:
    update = {
        name: _replace(current, value)
        if isinstance(current := getattr(model, name), BaseModel)
        else value
        for name, value in changes.items()
    }
    return model.model_copy(update=update)


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"http": {"port": 0}}`` for ``{"http__port": 0}``."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, field = name.split(DELIMITER)
        target = nested
        for group in groups:
            target = target.setdefault(group, {})
        target[field] = value
    return nested


def config_file(environment: Mapping[str, str]) -> Path | None:
    """Return the named configuration file, or the default one if it exists.

    Raises ConfigurationError if a named file does not exist.
    """
    named = environment.get(CONFIG_VARIABLE)
    if named:
        path = Path(named).expanduser().absolute()
        if not path.exists():
            raise ConfigurationError(
                f"Configuration file {str(path)!r} does not exist. Create it, or change --config "
                f"or {CONFIG_VARIABLE}."
            )
        return path
    path = platformdirs.user_config_path("sightline", appauthor=False) / "sightline.toml"
    return path if path.is_file() else None


def setting_fields(
    model: type[BaseModel] = Settings, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo]]:
    """Yield key and field of every setting, groups flattened."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, SettingsGroup):
            yield from setting_fields(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def is_secret(info: FieldInfo) -> bool:
    """Return whether a setting may contain a password or key."""
    return "Secret" in str(info.annotation) or "DatabaseUrl" in str(info.annotation)
