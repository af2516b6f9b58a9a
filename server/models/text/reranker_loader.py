"""What gives the first results a second look: nothing, the vision-language model, a cross-encoder.

``vlm`` is the model that `answer_question` asks. ``local-dir:PATH`` is a folder that transformers
wrote, ``OWNER/MODEL`` a model of the Hugging Face hub; both are judged by words alone. torch and
transformers are imported by `load` and by nothing before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from sightline.server import import_lock
from sightline.server.config.settings import Settings
from sightline.server.models import hub
from sightline.server.models.batcher import Batcher, BatchObserver
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import Vectors

if TYPE_CHECKING:  # it imports LlamaIndex
    from sightline.storage.retrieval.ranking.reranker import Exhibit

OFF = "off"
VLM = "vlm"
_LOCAL_DIR = "local-dir:"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_WANTED = ["*.json", "*.txt", "*.model", "model.safetensors"]


class Scorer(Protocol):
    """A model in memory, called by one thread at a time."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """How well each text answers its query, float32 of shape (n,); pairs are (query, text)."""
        ...


class TextJudge:
    """A `Judge` over a cross-encoder, which reads query and text together.

    Concurrent searches share batches. `close` it: it owns a thread.
    """

    looks = False

    def __init__(
        self,
        model: Scorer,
        name: str,
        *,
        batch_items: int,
        queue_items: int,
        observer: BatchObserver | None = None,
    ) -> None:
        self.name = name
        self._batcher = Batcher(
            {"pair": model.score},
            batch_items=batch_items,
            queue_items=queue_items,
            name=f"reranker {name}",
            observer=observer,
        )

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float | None]:
        """The model's scores; ``None`` for what has no text.

        Raises ModelOverloadedError when the queue is full.
        """
        worded = [place for place, each in enumerate(exhibits) if each.text.strip()]
        scores: list[float | None] = [None] * len(exhibits)
        if worded:
            pairs = [(query, exhibits[place].text) for place in worded]
            for place, score in zip(worded, await self._batcher.submit("pair", pairs), strict=True):
                scores[place] = float(score)
        return scores

    def close(self) -> None:
        """Stop the thread once its batch has ended; what waits fails with ModelUnavailableError."""
        self._batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check(settings: Settings) -> None:
    """Raises ConfigurationError where the reranker is one that the other settings do not allow."""
    if settings.reranker == VLM and settings.vlm_base_url is None:
        raise ConfigurationError(
            "SIGHTLINE_RERANKER is 'vlm' and SIGHTLINE_VLM_BASE_URL is not set: name the endpoint "
            "of the vision-language model, or another reranker"
        )


def load(settings: Settings, observer: BatchObserver | None = None) -> TextJudge:
    """The cross-encoder that the settings name, loaded and warm. Blocks for seconds.

    Raises ConfigurationError when it is not there, cannot be fetched or does not fit; it is never
    replaced by another.
    """
    name = settings.reranker
    if name.startswith(_LOCAL_DIR):
        folder = Path(name.removeprefix(_LOCAL_DIR)).expanduser().absolute()
        name = f"{_LOCAL_DIR}{folder.name}"
    else:
        folder = hub.snapshot("reranker", name, _WANTED)
    weights = [each for each in _WEIGHTS if (folder / each).is_file()]
    if not weights or not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"{str(folder)!r} is no cross-encoder: it needs config.json and one of "
            f"{', '.join(_WEIGHTS)}. Nothing is judged with random weights."
        )

    with import_lock.alone:
        from sightline.server.models.text.cross_encoder import CrossEncoder  # costs seconds

    model = CrossEncoder(folder, name, device=settings.device, precision=settings.precision)
    model.score([("a first pass", "shows that it runs")])
    return TextJudge(
        model,
        name,
        batch_items=settings.encoder_batch_items,
        queue_items=settings.encoder_queue_items,
        observer=observer,
    )
