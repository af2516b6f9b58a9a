"""Groups of settings.

Defaults are defined here, or in the component of storage or tools that uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from sightline.server.config.redaction import DatabaseUrl
from sightline.server.config.setting_types import (
    AbsolutePath,
    Algorithms,
    DeviceName,
    EncoderName,
    ExactUrl,
    Hosts,
    HttpUrl,
    Networks,
    PassageEncoderName,
    PositiveInt,
    RerankerName,
    Seconds,
    Words,
)
from sightline.storage import db
from sightline.storage.ingest.ingest_options import IngestOptions, OcrMode
from sightline.tools.shared.limits import Limits

VLM_TIMEOUT_SECONDS = 60.0
VLM_MAX_CONCURRENT_REQUESTS = 8

_INGEST: Mapping[str, Any] = {field.name: field.default for field in fields(IngestOptions)}
_LIMITS: Mapping[str, Any] = {field.name: field.default for field in fields(Limits)}


class SettingsGroup(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class EncoderSettings(SettingsGroup):
    """Encoders"""

    model: EncoderName = Field(
        default="builtin",
        description="Image and text encoder: `builtin`, an open_clip `ARCH/PRETRAINED`, "
        "`hf-hub:OWNER/MODEL` or `local-dir:PATH`.",
    )
    passage_model: PassageEncoderName = Field(
        default="encoder",
        description="Encoder of captions and other text: `encoder` (the text tower of "
        "`encoder.model`), `minilm` (extra of that name), or a sentence-transformers model, "
        "`OWNER/MODEL` or `local-dir:PATH`.",
    )
    device: DeviceName = Field(
        default="auto", description="`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto", description="`auto` is fp16 on CUDA and fp32 elsewhere."
    )
    threads: int = Field(
        default=0, ge=0, description="CPU threads of the encoder. 0: torch decides."
    )
    batch_size: PositiveInt = Field(
        default=_INGEST["batch_size"], description="Maximum images or texts in one forward pass."
    )
    max_cached_texts: int = Field(
        default=1024, ge=0, description="Text vectors in the cache. 0 disables the cache."
    )


class RerankerSettings(SettingsGroup):
    """Reranker"""

    model: RerankerName = Field(
        default="off",
        description="Reranker of the first search results: `off`, `vlm` (the vision-language "
        "model), or a cross-encoder, `OWNER/MODEL` or `local-dir:PATH`.",
    )
    timeout_seconds: Seconds = Field(
        default=3.0,
        description="Time limit of the reranker. After it, results keep their order, and the "
        "response says so.",
    )


class DatabaseSettings(SettingsGroup):
    """Database"""

    url: DatabaseUrl | None = Field(
        default=None,
        description="Postgres with pgvector 0.8 or newer. Unset: Sightline runs an embedded "
        "Postgres.",
    )
    max_connections: PositiveInt = Field(
        default=db.MAX_CONNECTIONS, description="Maximum connections of one process."
    )
    acquire_timeout_seconds: Seconds = Field(
        default=db.ACQUIRE_TIMEOUT_SECONDS,
        description="How long a call waits for a free connection.",
    )
    statement_timeout_seconds: Seconds = Field(
        default=db.STATEMENT_TIMEOUT_SECONDS, description="Time limit of one SQL statement."
    )


class AnalyticsSettings(SettingsGroup):
    """Analytics"""

    enabled: bool = Field(
        default=False, description="Offer the tool `query_sql` (read-only SQL queries)."
    )
    database_url: DatabaseUrl | None = Field(
        default=None,
        description="The same database with the login from `sightline grant-analyst`, for "
        "`query_sql`. Not needed with the embedded Postgres.",
    )
    timeout_seconds: Seconds = Field(default=10.0, description="Time limit of one SQL query.")
    max_rows: PositiveInt = Field(default=1000, description="Maximum rows of one SQL result.")


class HttpSettings(SettingsGroup):
    """HTTP server"""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(
        default=8765, ge=0, le=65535, description="Port to listen on. 0 selects a free port."
    )
    public_url: HttpUrl | None = Field(
        default=None, description="URL that clients use, if there is a reverse proxy."
    )
    allowed_hosts: Words = Field(
        default=(),
        description="Accepted `Host` headers besides the listening address. `name:*` allows any "
        "port.",
    )
    allowed_origins: Words = Field(
        default=(), description="Accepted browser origins, such as `https://name`."
    )
    shutdown_timeout_seconds: Seconds = Field(
        default=10.0, description="How long running calls may continue after SIGTERM."
    )


class JwtSettings(SettingsGroup):
    """JSON Web Tokens"""

    issuer: ExactUrl | None = Field(
        default=None,
        description="Authorization server whose tokens are accepted. It must equal the claim "
        "`iss`.",
    )
    jwks_url: ExactUrl | None = Field(
        default=None,
        description="URL of the public keys of the issuer: https, or http on this machine.",
    )
    audience: str | None = Field(
        default=None,
        description="Required value of the claim `aud`. Unset: the URL of this server that "
        "clients use.",
    )
    algorithms: Algorithms = Field(
        default=("RS256", "ES256"), description="Accepted signature algorithms."
    )
    scope_prefix: str = Field(
        default="", description="Prefix of `read`, `write` and `analytics` in the claim `scope`."
    )


class AuthSettings(SettingsGroup):
    """Authentication"""

    tokens_file: AbsolutePath | None = Field(
        default=None,
        description="File of static bearer tokens, one `NAME:SCOPE+SCOPE:SHA256` per line. "
        "`sightline token` prints such lines.",
    )
    signing_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Key that signs cursors. Set the same key on all servers that share a "
        "database. Unset: a key in the data folder.",
    )
    jwt: JwtSettings = JwtSettings()


class RateLimitSettings(SettingsGroup):
    """Rate limits"""

    max_calls_per_minute: int = Field(
        default=600,
        ge=0,
        description="Maximum tool calls of a principal per minute, with bursts of a fifth of it. "
        "HTTP requests are limited to ten times as many. 0 means unlimited.",
    )
    max_concurrent_calls: int = Field(
        default=16, ge=0, description="Maximum concurrent calls of a principal. 0 means unlimited."
    )


class LimitSettings(SettingsGroup):
    """Limits of a tool call"""

    max_results: PositiveInt = Field(
        default=_LIMITS["max_results"], description="Maximum results of one call."
    )
    max_image_pixels: PositiveInt = Field(
        default=_LIMITS["max_image_pixels"],
        description="Maximum width times height of an image that is decoded.",
    )
    answer_timeout_seconds: Seconds = Field(
        default=_LIMITS["answer_timeout_seconds"],
        description="Time limit of `answer_question`, including its checks.",
    )
    min_answer_confidence: float = Field(
        default=_LIMITS["min_answer_confidence"],
        ge=0,
        le=1,
        description="Answers with a lower confidence are withheld. 0 withholds none. Models "
        "without calibration have no confidence; their answers are never withheld.",
    )


class IngestSettings(SettingsGroup):
    """Ingest"""

    workers: int = Field(
        default=_INGEST["workers"], ge=0, description="Worker processes. 0: one per CPU core."
    )
    ocr: OcrMode = Field(
        default="auto",
        description="Read text in images: `auto` (if a quick check finds text), `on` or `off`.",
    )
    timezone: str = Field(
        default=_INGEST["timezone"],
        description="Time zone of capture times without an offset, such as `Europe/Berlin`.",
    )
    max_file_bytes: PositiveInt = Field(
        default=_INGEST["max_file_bytes"], description="Maximum size of a file."
    )
    file_timeout_seconds: Seconds = Field(
        default=_INGEST["file_timeout_seconds"],
        description="Time limit of one file. After it, its worker is killed.",
    )
    worker_memory_mib: PositiveInt = Field(
        default=_INGEST["worker_memory_mib"],
        description="Memory limit of one worker (Linux only).",
    )
    max_pages: PositiveInt = Field(
        default=_INGEST["max_pages"], description="Maximum pages of a PDF. Longer ones fail."
    )
    max_video_bytes: PositiveInt = Field(
        default=_INGEST["max_video_bytes"], description="Maximum size of a video."
    )
    max_video_seconds: PositiveInt = Field(
        default=_INGEST["max_video_seconds"],
        description="Maximum duration of a video. Longer ones fail.",
    )
    max_video_frames: PositiveInt = Field(
        default=_INGEST["max_video_frames"], description="Maximum frames of one video."
    )


class UrlSettings(SettingsGroup):
    """Fetching files from URLs"""

    allowed_hosts: Hosts = Field(
        default=(),
        description="Hosts from which `https://` files may be fetched: `name`, `name:port` or "
        "`*.name`.",
    )
    allowed_networks: Networks = Field(
        default=(),
        description="Private networks in which these hosts may be, such as `10.1.0.0/16`.",
    )


class JudgeSettings(SettingsGroup):
    """LLM judge of `sightline eval`"""

    base_url: HttpUrl | None = Field(default=None, description="OpenAI-compatible endpoint.")
    model: str | None = Field(default=None, description="Model name at the endpoint.")
    api_key: SecretStr | None = Field(default=None, description="API key of the endpoint.")


class VlmSettings(JudgeSettings):
    """Vision-language model"""

    profile: str = Field(
        default="auto",
        min_length=1,
        description="Model family, which defines image preprocessing and box format: `auto` "
        "selects it by model name, `plain` has no boxes.",
    )
    timeout_seconds: Seconds = Field(
        default=VLM_TIMEOUT_SECONDS,
        description="Time limit of one request, including queue and retries.",
    )
    max_concurrent_requests: PositiveInt = Field(
        default=VLM_MAX_CONCURRENT_REQUESTS,
        description="Maximum concurrent requests to the endpoint. Others wait.",
    )


class LogSettings(SettingsGroup):
    """Logs"""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum level of messages on stderr."
    )
    format: Literal["text", "json"] = Field(
        default="text", description="Text lines, or one JSON object per line."
    )
    audit_file: AbsolutePath | None = Field(
        default=None,
        description="File that receives one JSON line per call: principal, tool, time, outcome.",
    )
