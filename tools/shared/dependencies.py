"""What the tools work with; built once by the composition root and handed to every call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from anyio import CapacityLimiter

from sightline.storage.analytics.sql_runner import Questions
from sightline.storage.blobs import ObjectStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.ingest.decode.image_decoder import Decoder
from sightline.storage.ingest.discover.public_addresses import Allowed
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import ImageEncoder, TextEncoder, TextReader
from sightline.storage.retrieval.search_types import (
    ImageRequest,
    ImageResults,
    PassageRequest,
    PassageResults,
)
from sightline.tools.vlm.vision_language_model import VisionLanguageModel

T_co = TypeVar("T_co", covariant=True)


class Provider(Protocol[T_co]):
    """Something that becomes ready in the background."""

    async def get(self) -> T_co:
        """The thing itself, waiting a bounded time for it.

        Raises a SightlineError that says what is missing and whether to try again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one call may ask for; each is a setting of the same name."""

    result_limit: int = 50
    #: Metadata keys that ``list_collections`` names for each collection.
    metadata_keys: int = 20
    upload_bytes: int = 3_000_000
    picture_bytes: int = 50_000_000
    picture_pixels: int = 100_000_000
    view_edge_pixels: int = 1568
    #: What one result may carry in pictures: clients cap one event at 1 MiB, in base64.
    inline_bytes: int = 700_000
    #: Longest that answering one question may take, its checks included.
    answer_seconds: float = 120.0
    #: Answers less sure than this, 0 to 1, are withheld.
    least_confidence: float = 0.0

    def results(self, asked: int) -> int:
        """``asked`` where it is 1 to ``result_limit``; raises InvalidArgumentError."""
        if not 1 <= asked <= self.result_limit:
            raise InvalidArgumentError(f"limit is {shown(asked)}; use 1 to {self.result_limit}")
        return asked


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Handed over by ``server/app.py``; tools build nothing themselves."""

    database: Provider[Database]
    objects: ObjectStore
    encoder: Provider[ImageEncoder]
    #: Encodes captions and other passages; ``None`` leaves passage search to the words alone.
    passage_encoder: Provider[TextEncoder] | None
    #: Folders whose files callers may name by path; empty refuses every path.
    allowed_roots: tuple[Path, ...]
    #: The two searches of ``sightline.storage.retrieval``.
    image_search: Callable[[ImageRequest], Awaitable[ImageResults]]
    passage_search: Callable[[PassageRequest], Awaitable[PassageResults]]
    ingest_options: IngestOptions
    #: Opens pictures that others made.
    decoder: Decoder
    #: Decoding and drawing large pictures takes up to a gigabyte each: so many at once.
    picture_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(4))
    #: What callers may have fetched by its address; ``None`` where nothing is.
    urls: Allowed | None = None
    #: Reads the text in pictures that are added; ``None`` where that is switched off.
    text_reader: TextReader | None = None
    #: Answers questions about pictures; ``None`` where none is set.
    vision: VisionLanguageModel | None = None
    #: Asks the schema ``analytics`` in SQL; ``None`` where that is switched off.
    questions: Provider[Questions] | None = None
    limits: Limits = Limits()
