"""Address, model and limits of an OpenAI-compatible endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydantic import SecretStr

from sightline.server.config import variable
from sightline.server.config.settings import (
    VLM_MAX_CONCURRENT_REQUESTS,
    VLM_MAX_TOKENS,
    VLM_TIMEOUT_SECONDS,
    JudgeSettings,
    VlmSettings,
)
from sightline.server.models.endpoint_url import api_url_of, without_password
from sightline.storage.errors import ConfigurationError
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.boxes.model_profiles import Profile

BUILTIN = "builtin"
"""The setting of the model that answers in this process."""
_BUILTIN_URL, _BUILTIN_NAME = "http://builtin.invalid/v1", "builtin-llava"


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmEndpoint:
    """An endpoint and the limits of its client.

    ``timeout_seconds`` limits a whole call with its retries. The circuit breaker opens after
    ``circuit_max_failures`` consecutive failures for ``circuit_reset_seconds``.
    """

    base_url: str
    model: str
    profile: Profile
    api_key: SecretStr | None = None
    timeout_seconds: float = VLM_TIMEOUT_SECONDS
    max_concurrent_requests: int = VLM_MAX_CONCURRENT_REQUESTS
    connect_timeout_seconds: float = 5.0
    max_retries: int = 3
    max_tokens: int = VLM_MAX_TOKENS
    max_response_bytes: int = 2_000_000
    max_cached_responses: int = 256
    circuit_max_failures: int = 5
    circuit_reset_seconds: float = 10.0

    @classmethod
    def from_settings(cls, vlm: VlmSettings) -> Self | None:
        """Return the endpoint of the vision-language model, ``None`` if there is none.

        Raises ConfigurationError if the model is not set.
        """
        if vlm.base_url is None and vlm.model == BUILTIN:
            vlm = vlm.model_copy(update={"base_url": _BUILTIN_URL, "model": _BUILTIN_NAME})
        return cls._create("vlm", vlm, vlm)

    @classmethod
    def judge_from_settings(cls, judge: JudgeSettings, vlm: VlmSettings) -> Self | None:
        """Return the endpoint of the LLM judge, ``None`` if there is none.

        It has the limits of the vision-language model. Raises ConfigurationError if only one of
        address and model is set: an evaluation without its judge would waste an hour.
        """
        if judge.base_url is None and judge.model is not None:
            raise ConfigurationError(
                f"{variable('judge.model')} is set, but {variable('judge.base_url')} is not."
            )
        return cls._create("judge", judge, vlm)

    @classmethod
    def _create(cls, group_name: str, group: JudgeSettings, limits: VlmSettings) -> Self | None:
        if group.base_url is None:
            return None
        if group.model is None:
            raise ConfigurationError(
                f"{variable(f'{group_name}.base_url')} is set, but "
                f"{variable(f'{group_name}.model')} is not. GET {group.base_url}/models lists the "
                "available models."
            )
        profile = group.profile if isinstance(group, VlmSettings) else "auto"
        return cls(
            base_url=group.base_url,
            model=group.model,
            profile=choose_profile(group.model, profile),
            api_key=group.api_key,
            timeout_seconds=limits.timeout_seconds,
            max_concurrent_requests=limits.max_concurrent_requests,
            max_tokens=limits.max_tokens,
        )

    @property
    def is_builtin(self) -> bool:
        """Return whether the built-in model answers, in this process."""
        return self.base_url == _BUILTIN_URL

    @property
    def api_url(self) -> str:
        """Return the base URL of the API; a URL without a path gets ``/v1``."""
        return api_url_of(self.base_url)

    @property
    def shown(self) -> str:
        """Return `api_url` without user name and password, for messages and logs."""
        if self.is_builtin:
            return "this process"
        return without_password(self.api_url)
