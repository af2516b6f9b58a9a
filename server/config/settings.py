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
from typing import Any, Literal, Self, TypeVar

import platformdirs
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from sightline.server.config.config_file import config_file
from sightline.server.config.model_settings import DetectorSettings
from sightline.server.config.setting_types import (
    AbsolutePath,
    Algorithms,
    DatabaseUrl,
    DeviceName,
    EncoderName,
    ExactUrl,
    Hosts,
    HttpUrl,
    Networks,
    PassageEncoderName,
    Paths,
    RerankerName,
    Seconds,
    Secrets,
    SettingsGroup,
    Words,
)
from sightline.storage import db
from sightline.storage.ingest.ingest_options import IngestOptions, OcrMode
from sightline.tools.shared.image_delivery import ImageMode
from sightline.tools.shared.limits import Limits

PREFIX = "SIGHTLINE_"
DELIMITER = "__"

VLM_TIMEOUT_SECONDS = 60.0
VLM_MAX_CONCURRENT_REQUESTS = 8
VLM_MAX_TOKENS = 512

_INGEST = IngestOptions()
_LIMITS = Limits()
_Model = TypeVar("_Model", bound=BaseModel)


class EncoderSettings(SettingsGroup):
    """Encoders"""

    model: EncoderName = "builtin"
    """Image and text encoder: `builtin`, a name of `sightline models list`, `OWNER/MODEL` that was
    pulled, `local-dir:PATH`, or open_clip's `ARCH/PRETRAINED` or `hf-hub:OWNER/MODEL`."""
    passage_model: PassageEncoderName = "encoder"
    """Encoder of captions and other text: `encoder` (the text tower of `encoder.model`), `minilm`
    (extra of that name), or a sentence encoder: a name of `sightline models list`, `OWNER/MODEL`
    that was pulled, or `local-dir:PATH`."""
    device: DeviceName = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """`auto` is fp16 on CUDA and fp32 elsewhere. ONNX graphs have their own precision."""
    engine: Literal["auto", "onnx", "open_clip"] = "auto"
    """`onnx` runs the ONNX graphs of a model folder, `open_clip` runs torch. `auto`: the graphs if
    there are any and ONNX Runtime has the device, else torch."""
    threads: NonNegativeInt = 0
    """CPU threads of the encoder. 0: all cores."""
    batch_size: PositiveInt = _INGEST.batch_size
    """Maximum images or texts in one forward pass."""
    max_cached_texts: NonNegativeInt = 1024
    """Text vectors in the cache of each caller. 0 disables the cache."""


class RerankerSettings(SettingsGroup):
    """Reranker"""

    model: RerankerName = "off"
    """Reranker of the first search results: `off`, `vlm` (the vision-language model), or a
    cross-encoder: a name of `sightline models list`, `OWNER/MODEL` that was pulled, or
    `local-dir:PATH`."""
    timeout_seconds: Seconds = 3.0
    """Time limit of the reranker. After it, results keep their order, and the response says so."""


class DatabaseSettings(SettingsGroup):
    """Database"""

    url: DatabaseUrl | None = None
    """Postgres with pgvector 0.8 or newer. Unset: Sightline runs an embedded Postgres."""
    max_connections: PositiveInt = db.MAX_CONNECTIONS
    """Maximum connections of one process."""
    acquire_timeout_seconds: Seconds = db.ACQUIRE_TIMEOUT_SECONDS
    """How long a call waits for a free connection."""
    statement_timeout_seconds: Seconds = db.STATEMENT_TIMEOUT_SECONDS
    """Time limit of one SQL statement."""


class AnalyticsSettings(SettingsGroup):
    """Analytics"""

    enabled: bool = False
    """Offer the tool `query_sql` (read-only SQL queries)."""
    database_url: DatabaseUrl | None = None
    """The same database with the login from `sightline grant-analyst`, for `query_sql`. Not needed
    with the embedded Postgres."""
    timeout_seconds: Seconds = 10.0
    """Time limit of one SQL query."""
    max_rows: PositiveInt = 1000
    """Maximum rows of one SQL result."""


class HttpSettings(SettingsGroup):
    """HTTP server"""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on."""
    port: int = Field(default=8765, ge=0, le=65535)
    """Port to listen on. 0 selects a free port."""
    public_url: HttpUrl | None = None
    """URL that clients use, if there is a reverse proxy."""
    allowed_hosts: Words = ()
    """Accepted `Host` headers besides the listening address. `name:*` allows any port."""
    allowed_origins: Words = ()
    """Accepted browser origins, such as `https://name`, besides the server's own."""
    web_app: bool = True
    """Serve the web app at `/`."""
    max_connections: PositiveInt = 1024
    """Maximum open connections. If `http.public_url` is unset, so that there is no reverse proxy,
    another machine may have a quarter of them."""
    shutdown_timeout_seconds: Seconds = 10.0
    """How long running calls may continue after SIGTERM."""


class JwtSettings(SettingsGroup):
    """JSON Web Tokens"""

    issuer: ExactUrl | None = None
    """Authorization server whose tokens are accepted. It must equal the claim `iss`."""
    jwks_url: ExactUrl | None = None
    """URL of the public keys of the issuer: https, or http on this machine."""
    audience: str | None = None
    """Required value of the claim `aud`. Unset: the URL of this server that clients use."""
    algorithms: Algorithms = ("RS256", "ES256")
    """Accepted signature algorithms."""
    scope_prefix: str = ""
    """Prefix of `read`, `write` and `analytics` in the claim `scope`."""
    require_at_jwt: bool = False
    """Accept only tokens with the header `typ: at+jwt` (RFC 9068). Otherwise `JWT` or no type is
    also accepted, except for ID tokens."""


class AuthSettings(SettingsGroup):
    """Authentication"""

    tokens_file: AbsolutePath | None = None
    """File of static bearer tokens, one `NAME:SCOPE+SCOPE:SHA256` per line. `sightline token`
    prints such lines."""
    signing_key: SecretStr | None = Field(default=None, min_length=32)
    """Key that signs cursors. Set the same key on all servers that share a database. Unset: a key
    in the data folder."""
    jwt: JwtSettings = JwtSettings()


class RateLimitSettings(SettingsGroup):
    """Rate limits"""

    max_calls_per_minute: NonNegativeInt = 600
    """Maximum tool calls of a principal per minute, with bursts of a fifth of it. HTTP requests are
    limited to four times as many. 0 means unlimited."""
    max_concurrent_calls: NonNegativeInt = 16
    """Maximum concurrent calls of a principal. 0 means unlimited."""


class LimitSettings(SettingsGroup):
    """Limits of a tool call"""

    max_results: PositiveInt = _LIMITS.max_results
    """Maximum results of one call."""
    max_image_pixels: PositiveInt = _LIMITS.max_image_pixels
    """Maximum width times height of an image that is decoded."""
    call_timeout_seconds: Seconds = _LIMITS.call_timeout_seconds
    """Time limit of a call of any tool. `add_images` keeps what it has stored until then."""
    answer_timeout_seconds: Seconds = _LIMITS.answer_timeout_seconds
    """Time limit of `answer_question`, including its checks."""
    min_answer_confidence: float = Field(default=_LIMITS.min_answer_confidence, ge=0, le=1)
    """Answers with a lower confidence are withheld. 0 withholds none. Models without calibration
    have no confidence; their answers are never withheld."""


class IngestSettings(SettingsGroup):
    """Ingest"""

    workers: NonNegativeInt = _INGEST.workers
    """Worker processes of all ingests together. 0: one per CPU core, at least two, if the memory
    suffices: each needs 320 MiB, and everything else 512."""
    ocr: OcrMode = "auto"
    """Read text in images: `auto` (if a quick check finds text), `on` or `off`."""
    ocr_models: AbsolutePath | None = None
    """Folder with OCR models for `sightline ingest --ocr-languages`."""
    timezone: str = _INGEST.timezone
    """Time zone of capture times without an offset, such as `Europe/Berlin`."""
    keep_location: bool = _INGEST.keep_location
    """Store where pictures and videos were taken, from their metadata and sidecars: the position,
    and the names of places."""
    keep_people: bool = _INGEST.keep_people
    """Store the names of people in the metadata of pictures, with their boxes."""
    keep_patients: bool = _INGEST.keep_patients
    """Store the data of patients in DICOM files: names, numbers, dates and free texts."""
    libre_office: bool = _INGEST.libre_office
    """Use LibreOffice, if it is installed, to show the pages of Word documents and slides as
    assets, and to read `.doc`, `.xls`, `.ppt` and `.rtf`. A document takes several seconds more."""
    max_file_bytes: PositiveInt = _INGEST.max_file_bytes
    """Maximum size of a file."""
    file_timeout_seconds: Seconds = _INGEST.file_timeout_seconds
    """Time limit of one file, or of one page or frame. After it, its worker is killed. PDFs and
    videos have a limit for the whole file too."""
    worker_memory_mib: PositiveInt = _INGEST.worker_memory_mib
    """Memory limit of one worker (Linux only), at most the memory of the machine."""
    max_pages: PositiveInt = _INGEST.max_pages
    """Maximum pages of a PDF. Longer ones fail."""
    pdf_passwords: Secrets = ()
    """Passwords to open encrypted PDFs with, separated by commas. They are stored nowhere."""
    max_video_bytes: PositiveInt = _INGEST.max_video_bytes
    """Maximum size of a video."""
    max_video_seconds: PositiveInt = _INGEST.max_video_seconds
    """Maximum duration of a video. Longer ones fail."""
    max_video_frames: PositiveInt = _INGEST.max_video_frames
    """Maximum frames of one video."""


class UrlSettings(SettingsGroup):
    """Fetching files from URLs"""

    allowed_hosts: Hosts = ()
    """Hosts from which `https://` files may be fetched: `name`, `name:port` or `*.name`."""
    allowed_networks: Networks = ()
    """Private networks in which these hosts may be, such as `10.1.0.0/16`."""


class JudgeSettings(SettingsGroup):
    """LLM judge of `sightline eval`"""

    base_url: HttpUrl | None = None
    """OpenAI-compatible endpoint."""
    model: str | None = None
    """Model name at the endpoint."""
    api_key: SecretStr | None = None
    """API key of the endpoint."""


class VlmSettings(JudgeSettings):
    """Vision-language model"""

    model: str | None = None
    """Model name at the endpoint; without an endpoint `builtin`, a tiny LLaVA in this process."""
    profile: str = Field(default="auto", min_length=1)
    """Model family, which defines image preprocessing and box format: `auto` selects it by model
    name, `plain` has no boxes."""
    timeout_seconds: Seconds = VLM_TIMEOUT_SECONDS
    """Time limit of one request, including queue and retries."""
    max_concurrent_requests: PositiveInt = VLM_MAX_CONCURRENT_REQUESTS
    """Maximum concurrent requests to the endpoint. Others wait."""
    max_tokens: PositiveInt = VLM_MAX_TOKENS
    """Maximum tokens of a reply. A model that thinks needs several thousand."""


class SpeechSettings(JudgeSettings):
    """Speech"""

    model: str | None = None
    """Model at the endpoint, or `local-dir:PATH` of a faster-whisper folder (extra `speech`)."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    """Language of all speech, such as `de`. Unset: the model detects it."""
    timeout_seconds: Seconds = 120.0
    """Time limit of one request, for at most 30 seconds of sound."""
    max_concurrent_requests: PositiveInt = 4
    """Maximum concurrent requests to the endpoint. Others wait."""


class LogSettings(SettingsGroup):
    """Logs"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of messages on stderr. Unset, `ingest` and `eval` log from `warning`."""
    format: Literal["text", "json"] = "text"
    """Text lines, or one JSON object per line."""
    audit_file: AbsolutePath | None = None
    """File that receives one JSON line per call: principal, tool, time, outcome."""
    retention_days: NonNegativeInt = db.LOG_RETENTION_DAYS
    """Days that searches stay in the table `retrieval_log`, which also has limits in rows. 0 means
    unlimited."""


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
        default_factory=lambda: platformdirs.user_data_path("sightline", appauthor=False)
    )
    """Folder of the embedded Postgres and of stored images."""
    allowed_roots: Paths = ()
    """Folders whose files tools may read by path."""
    default_collection: str = Field(default="default", min_length=1)
    """Collection if a command names none."""
    images: ImageMode = "inline"
    """Images in results: `inline`, or `link` for clients that convert images to text. Then a call
    returns images only with `inline=true`. A connection may choose with `/mcp?images=link`."""
    startup_timeout_seconds: Seconds = 25.0
    """How long a call waits for a model or database that is still loading. A command in a terminal
    waits without a limit."""
    database: DatabaseSettings = DatabaseSettings()
    encoder: EncoderSettings = EncoderSettings()
    detector: DetectorSettings = DetectorSettings()
    reranker: RerankerSettings = RerankerSettings()
    vlm: VlmSettings = VlmSettings()
    judge: JudgeSettings = JudgeSettings()
    speech: SpeechSettings = SpeechSettings()
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


def setting_fields(
    model: type[BaseModel] = Settings, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo, type[BaseModel]]]:
    """Yield key, field and model of every setting, groups flattened."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, SettingsGroup):
            yield from setting_fields(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info, model
