"""All settings: one frozen class, read once from ``SIGHTLINE_*`` environment variables.

Every limit carries its unit in its name. An empty variable counts as unset. Lists are separated by
commas, lists of paths by the platform's path separator (``:``, or ``;`` on Windows). Secrets,
the database URL's password among them, never appear in ``repr`` or in error messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

import platformdirs
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    Paths,
    PositiveInt,
    RerankerName,
    Seconds,
    Words,
)
from sightline.server.observability.redaction import DatabaseUrl
from sightline.storage.errors import ConfigurationError

PREFIX = "SIGHTLINE_"

_MIB = 2**20


class Settings(BaseSettings):
    """What a Sightline process is told; `load` makes it with errors that name the variable."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", validate_default=True
    )

    # Where things are
    data_dir: AbsolutePath = Field(
        default_factory=lambda: platformdirs.user_data_path("sightline", appauthor=False),
        description="Folder of the embedded Postgres and of stored pictures.",
    )
    database_url: DatabaseUrl | None = Field(
        default=None,
        description="Postgres with pgvector 0.8 or newer; unset, Sightline runs its own.",
    )
    allowed_roots: Paths = Field(
        default=(),
        description="Folders whose files tools may read by path; none unless set.",
    )
    default_collection: str = Field(
        default="default",
        min_length=1,
        description="Collection that is meant where none is named.",
    )

    # Encoder
    encoder: EncoderName = Field(
        default="builtin",
        description=(
            "Image and text encoder: `builtin`, an open_clip `ARCH/PRETRAINED`, "
            "`hf-hub:OWNER/MODEL` or `local-dir:PATH`."
        ),
    )
    passage_encoder: PassageEncoderName = Field(
        default="encoder",
        description=(
            "Encoder of captions and other text: `encoder` (the text tower of the above), "
            "`minilm` (the extra of that name), or a sentence-transformers model, "
            "`OWNER/MODEL` or `local-dir:PATH`."
        ),
    )
    device: DeviceName = Field(
        default="auto", description="`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto", description="`auto` is fp16 on CUDA and fp32 elsewhere."
    )
    encoder_threads: int = Field(
        default=0, ge=0, description="CPU threads of the encoder; 0 lets torch choose."
    )
    encoder_batch_items: PositiveInt = Field(
        default=64, description="Most pictures or texts in one forward pass."
    )
    encoder_queue_items: PositiveInt = Field(
        default=1024, description="Pictures and texts that may wait; more are refused."
    )
    encoder_stuck_seconds: Seconds = Field(
        default=300.0,
        description="How long one batch may run before the encoder counts as stuck and callers are "
        "told so.",
    )
    loading_wait_seconds: Seconds = Field(
        default=25.0,
        description="How long a call waits for an encoder or database that is still opening.",
    )
    text_cache_entries: int = Field(
        default=1024, ge=0, description="Text vectors kept by exact text; 0 keeps none."
    )
    ocr: Literal["auto", "on", "off"] = Field(
        default="auto", description="Read text in pictures: where it pays, always, never."
    )

    # Search
    concurrent_searches: PositiveInt = Field(
        default=32,
        description="Searches that are worked on at once; others wait for their turn, the first "
        "to come first.",
    )

    # Second look at the first results of a search
    reranker: RerankerName = Field(
        default="off",
        description="What judges the first results again: `off`, `vlm` (the vision-language model, "
        "by its yes or no), or a cross-encoder, `OWNER/MODEL` or `local-dir:PATH`.",
    )
    rerank_results: PositiveInt = Field(
        default=20, description="How many of the first results it judges."
    )
    rerank_seconds: Seconds = Field(
        default=3.0,
        description="Longest that it may take; then the order stays, and the result says so.",
    )

    # Postgres
    pool_min_connections: int = Field(default=1, ge=0, description="Connections kept open.")
    pool_max_connections: PositiveInt = Field(default=8, description="Most connections at once.")
    pool_wait_seconds: Seconds = Field(
        # Hosts give a call a minute. What is refused earlier has cost its share already, and is
        # asked again at once: at 256 clients nothing else was done any more.
        default=20.0,
        description="How long a call waits for a free connection.",
    )
    statement_timeout_seconds: Seconds = Field(
        default=30.0, description="Longest that one SQL statement may run."
    )

    # Analytics
    analytics_enabled: bool = Field(
        default=False, description="Offer the tool `query_sql`: questions in SQL, read only."
    )
    analytics_database_url: DatabaseUrl | None = Field(
        default=None,
        description="The same database as a login of `sightline grant-analyst`, for `query_sql`; "
        "not needed with Sightline's own Postgres.",
    )
    analytics_timeout_seconds: Seconds = Field(
        default=10.0, description="Longest that one question in SQL may take."
    )
    analytics_rows: PositiveInt = Field(
        default=1000, description="Most rows of one answer to a question in SQL."
    )
    analytics_bytes: PositiveInt = Field(
        default=200_000, description="Largest such answer, its rows as JSON."
    )

    # HTTP
    http_host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    http_port: int = Field(default=8765, ge=0, le=65535, description="Port; 0 picks a free one.")
    http_path: str = Field(
        default="/mcp", pattern=r"^/[\w/-]*$", description="Path of the MCP endpoint."
    )
    http_allowed_hosts: Words = Field(
        default=(),
        description="`Host` headers accepted besides the listening address, `name:*` for any port.",
    )
    http_allowed_origins: Words = Field(
        default=(), description="Browser origins accepted, as `https://name`; none unless set."
    )
    http_tokens: SecretStr | None = Field(
        default=None,
        description="Bearer tokens as `NAME:SCOPE+SCOPE:SHA256`, separated by spaces.",
    )
    http_tokens_file: AbsolutePath | None = Field(
        default=None, description="File with such tokens, one a line."
    )
    http_public_url: HttpUrl | None = Field(
        default=None, description="Address that clients use, where a proxy stands in front."
    )
    jwt_issuer: ExactUrl | None = Field(
        default=None,
        description="Authorisation server whose JSON Web Tokens are accepted, as `iss` in them.",
    )
    jwt_audience: str | None = Field(
        default=None,
        description="What `aud` must name; unset, the address of this server as clients use it.",
    )
    jwt_algorithms: Algorithms = Field(
        default=("RS256", "ES256"), description="Algorithms accepted in `alg`."
    )
    jwt_scope_prefix: str = Field(
        default="", description="What stands before `read`, `write` and `analytics` in `scope`."
    )
    jwt_leeway_seconds: float = Field(
        default=30.0, ge=0, le=300, description="How far the two clocks may differ."
    )
    jwt_bytes: PositiveInt = Field(default=16_384, description="Largest such token.")
    jwks_url: ExactUrl | None = Field(
        default=None,
        description="Where its public keys are; https, or http on this machine.",
    )
    jwks_timeout_seconds: Seconds = Field(
        default=5.0, description="Longest that fetching the keys may take."
    )
    jwks_bytes: PositiveInt = Field(default=262_144, description="Largest set of keys.")
    jwks_kept_seconds: Seconds = Field(
        default=600.0, description="After which the keys are fetched again."
    )
    jwks_stale_seconds: Seconds = Field(
        default=86_400.0,
        description="For which known keys still count where they cannot be fetched again.",
    )
    jwks_pause_seconds: Seconds = Field(
        default=10.0, description="Least time between two fetches, unknown keys or not."
    )
    principal_calls_per_minute: int = Field(
        default=600, ge=0, description="Calls that the holder of a token may make; 0 sets no limit."
    )
    principal_burst_calls: PositiveInt = Field(
        default=120, description="Calls of those that may come at once after a pause."
    )
    principal_concurrent_calls: int = Field(
        default=16, ge=0, description="Its calls that may run at once; 0 sets no limit."
    )
    principal_requests_per_minute: int = Field(
        default=6000,
        ge=0,
        description="Its HTTP requests of any kind, answered with 429 from there on; 0 sets no "
        "limit.",
    )
    audit_file: AbsolutePath | None = Field(
        default=None,
        description="File that gets a JSON line of each call: who, what, when, how it ended.",
    )
    signing_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Key that signs cursors, the same on servers that share a database; unset, "
        "one is kept in the data folder.",
    )
    http_max_body_bytes: PositiveInt = Field(default=8 * _MIB, description="Largest request body.")
    http_shutdown_seconds: Seconds = Field(
        default=10.0, description="How long running calls may finish after SIGTERM."
    )
    http_resume_bytes: PositiveInt = Field(
        default=64 * _MIB,
        description="Answers that are kept for clients of the older revision whose connection "
        "broke off, together.",
    )
    http_resume_seconds: Seconds = Field(
        default=300.0, description="How long such an answer is kept."
    )
    http_retry_seconds: Seconds = Field(
        default=1.0, description="What such a client is asked to wait before it connects again."
    )

    # Bounds on one tool call, and on the pictures that are opened
    result_limit: PositiveInt = Field(default=50, description="Most results of one call.")
    upload_bytes: PositiveInt = Field(
        default=3_000_000, description="Largest picture in a tool's arguments, decoded."
    )
    picture_bytes: PositiveInt = Field(
        default=50_000_000, description="Largest picture file that is read."
    )
    picture_pixels: PositiveInt = Field(
        default=100_000_000, description="Largest picture, width times height, that is decoded."
    )
    picture_seconds: Seconds = Field(
        default=20.0,
        description="Longest that opening one picture for a call may take before its process is "
        "killed.",
    )
    view_edge_pixels: PositiveInt = Field(
        default=1568, description="Longest edge that view_image returns."
    )
    inline_bytes: PositiveInt = Field(
        default=700_000, description="Pictures in one result, together; clients cap it at 1 MiB."
    )

    # Ingest
    ingest_workers: int = Field(
        default=0, ge=0, description="Processes that decode pictures; 0 is one per core."
    )
    ingest_file_bytes: PositiveInt = Field(
        default=256 * _MIB, description="Largest file that ingest reads."
    )
    ingest_file_seconds: Seconds = Field(
        default=60.0, description="Longest that one file may take before its worker is killed."
    )
    ingest_worker_memory_mib: PositiveInt = Field(
        default=4096, description="Memory that one worker may take (on Linux)."
    )
    allowed_url_hosts: Hosts = Field(
        default=(),
        description="Hosts that files may be fetched from by an https:// address: `name`, "
        "`name:port` or `*.name`; none unless set.",
    )
    allowed_url_networks: Networks = Field(
        default=(),
        description="Private networks that those hosts may be in, such as `10.1.0.0/16`; none "
        "unless set.",
    )
    url_bytes: PositiveInt = Field(
        default=50_000_000, description="Largest file that is fetched by its address."
    )
    url_seconds: Seconds = Field(
        default=30.0, description="Longest that fetching one file may take, redirects included."
    )
    ingest_pages: PositiveInt = Field(
        default=2000, description="Most pages of one PDF; longer ones are refused."
    )
    ingest_page_dpi: PositiveInt = Field(
        default=150, description="Resolution that PDF pages are rendered at, in dots an inch."
    )
    ingest_video_bytes: PositiveInt = Field(
        default=4 * 1024 * _MIB, description="Largest video; it is read as it goes, never whole."
    )
    ingest_video_seconds: PositiveInt = Field(
        default=4 * 3600, description="Longest video; longer ones are refused."
    )
    ingest_video_frames: PositiveInt = Field(
        default=300, description="Most frames kept of one video."
    )
    timezone: str = Field(
        default="UTC",
        description="Time zone of capture times that name none, such as `Europe/Berlin`.",
    )

    # Vision-language model
    vlm_base_url: HttpUrl | None = Field(
        default=None, description="OpenAI-compatible endpoint that answers questions on pictures."
    )
    vlm_model: str | None = Field(default=None, description="Model name at that endpoint.")
    vlm_api_key: SecretStr | None = Field(default=None, description="Its key, when it wants one.")
    vlm_profile: str = Field(
        default="auto",
        min_length=1,
        description=(
            "Family of that model, which says how it sees pictures and writes boxes: `auto` goes "
            "by its name, `plain` has no boxes."
        ),
    )
    vlm_timeout_seconds: Seconds = Field(
        default=60.0, description="Longest that one answer may take, waiting and retries included."
    )
    answer_timeout_seconds: Seconds = Field(
        default=120.0, description="Longest that `answer_question` may take with its checks."
    )
    answer_least_confidence: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Answers whose confidence is lower are withheld; 0 withholds none. Models "
        "without a calibration have no confidence, and none of their answers is withheld.",
    )
    vlm_connect_seconds: Seconds = Field(
        default=5.0, description="Longest that reaching the endpoint or its health may take."
    )
    vlm_concurrency: PositiveInt = Field(
        default=8, description="Most questions that are with the endpoint at once; others wait."
    )
    vlm_retries: int = Field(
        default=3, ge=0, description="Further tries after 429, 5xx or a lost connection."
    )
    vlm_max_tokens: PositiveInt = Field(
        default=512, description="Longest answer, in tokens, where a tool asks for no other."
    )
    vlm_reply_bytes: PositiveInt = Field(
        default=2_000_000, description="Largest answer that is read from the endpoint."
    )
    vlm_cache_entries: int = Field(
        default=256, ge=0, description="Greedy answers kept by exact question; 0 keeps none."
    )
    vlm_breaker_failures: PositiveInt = Field(
        default=5, description="Failures in a row after which the endpoint is left alone."
    )
    vlm_breaker_seconds: Seconds = Field(
        default=10.0, description="How long it is left alone before it is tried again."
    )

    # Judge of answers, for `sightline eval`
    judge_base_url: HttpUrl | None = Field(
        default=None,
        description="OpenAI-compatible endpoint of the model that marks answers for "
        "`sightline eval`.",
    )
    judge_model: str | None = Field(default=None, description="Model name at that endpoint.")
    judge_api_key: SecretStr | None = Field(default=None, description="Its key, when it wants one.")

    # Process
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least serious message that is logged to stderr."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Log lines for people, or one JSON object a line."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.pool_min_connections > self.pool_max_connections:
            msg = "pool_min_connections is greater than pool_max_connections"
            raise ValueError(msg)
        return self


def load(**overrides: Any) -> Settings:
    """Settings from the environment; keyword arguments (a command's options) win.

    Raises ConfigurationError that names every wrong variable and what it may be, never a secret.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise ConfigurationError(problems) from None


def _problem(detail: Mapping[str, Any]) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not detail["loc"]:
        return f"settings do not fit together: {message}"
    field = str(detail["loc"][0])
    name = variable(field)
    if field not in Settings.model_fields:
        return f"there is no setting {field!r}{_nearest(field, Settings.model_fields)}"
    return f"{name} is wrong: {message}" + _given(field, detail["input"])


def _given(field: str, value: object) -> str:
    annotation = str(Settings.model_fields[field].annotation)
    return "" if "Secret" in annotation or "DatabaseUrl" in annotation else f" (it is {value!r})"


def _nearest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def variable(field: str) -> str:
    """The environment variable of a setting: ``http_port`` is ``SIGHTLINE_HTTP_PORT``."""
    return PREFIX + field.upper()


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """One sentence for every ``SIGHTLINE_*`` variable that is no setting, with the nearest name.

    Worth a warning and no more: orchestrators inject variables of their own by a service's name.
    """
    known = {variable(field) for field in Settings.model_fields}
    return [
        f"{name} is not a setting{_nearest(name, known)}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known
    ]


class SettingDescription(NamedTuple):
    """A setting as the README and ``sightline doctor`` show it."""

    variable: str
    default: str
    description: str


def described() -> list[SettingDescription]:
    """Every setting in order of declaration; a default that depends on the machine is empty."""
    return [
        SettingDescription(
            variable(field),
            _shown_default(info.default),
            info.description or "",
        )
        for field, info in Settings.model_fields.items()
    ]


def _shown_default(value: object) -> str:
    if value in (PydanticUndefined, None, ()):
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
