"""Where a vision-language model is served, and the bounds on asking it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from sightline.server.config.settings import Settings, variable
from sightline.storage.errors import ConfigurationError
from sightline.tools.boxes.model_profiles import Profile, choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Each bound is the setting ``vlm_...`` of the same name."""

    base_url: str
    model: str
    profile: Profile
    api_key: SecretStr | None = None
    timeout_seconds: float = 60.0
    connect_seconds: float = 5.0
    concurrency: int = 8
    retries: int = 3
    cache_entries: int = 256
    max_tokens: int = 512
    reply_bytes: int = 2_000_000
    breaker_failures: int = 5
    breaker_seconds: float = 10.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """What answers questions: ``None`` where no endpoint is set.

        Raises ConfigurationError where the model is not set.
        """
        named = _named("vlm", settings.vlm_base_url, settings.vlm_model)
        if named is None:
            return None
        profile = choose(named[1], settings.vlm_profile)
        return cls._bounded(settings, *named, profile, settings.vlm_api_key)

    @classmethod
    def of_judge(cls, settings: Settings) -> Self | None:
        """What marks answers, within the same bounds; otherwise as `from_settings`."""
        named = _named("judge", settings.judge_base_url, settings.judge_model)
        if named is None and settings.judge_model is not None:
            # Whoever names a judge wants marks: an eval without them would be an hour lost.
            raise ConfigurationError(
                f"{variable('judge_model')} is set and {variable('judge_base_url')} is not"
            )
        if named is None:
            return None
        return cls._bounded(settings, *named, choose(named[1]), settings.judge_api_key)

    @classmethod
    def _bounded(
        cls,
        settings: Settings,
        base_url: str,
        model: str,
        profile: Profile,
        api_key: SecretStr | None,
    ) -> Self:
        return cls(
            base_url=base_url,
            model=model,
            profile=profile,
            api_key=api_key,
            timeout_seconds=settings.vlm_timeout_seconds,
            connect_seconds=settings.vlm_connect_seconds,
            concurrency=settings.vlm_concurrency,
            retries=settings.vlm_retries,
            cache_entries=settings.vlm_cache_entries,
            max_tokens=settings.vlm_max_tokens,
            reply_bytes=settings.vlm_reply_bytes,
            breaker_failures=settings.vlm_breaker_failures,
            breaker_seconds=settings.vlm_breaker_seconds,
        )

    @property
    def api_url(self) -> str:
        """The base of the API; an address without a path gets OpenAI's ``/v1``."""
        parts = urlsplit(self.base_url)
        path = parts.path.rstrip("/") or "/v1"
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    @property
    def shown(self) -> str:
        """`api_url` without user name and password: for messages and logs."""
        parts = urlsplit(self.api_url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _named(prefix: str, url: str | None, model: str | None) -> tuple[str, str] | None:
    """Both, or neither; raises ConfigurationError where the endpoint's model is missing."""
    if url is None:
        return None
    if model is None:
        raise ConfigurationError(
            f"{variable(f'{prefix}_base_url')} is set and {variable(f'{prefix}_model')} is not: "
            f"name the model to ask (GET {url}/models lists those there are)"
        )
    return url, model
