"""The models that the settings choose.

Imports no numpy, for which the handshake must not wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightline.server.config import Settings
from sightline.storage.errors import ConfigurationError
from sightline.storage.import_lock import import_lock

if TYPE_CHECKING:
    from sightline.server.models.batcher import BatchObserver
    from sightline.server.models.detection.loading import PhraseDetector
    from sightline.server.models.image_text.image_text_encoder import ImageTextEncoder
    from sightline.server.models.text.cross_encoder_reranker import CrossEncoderReranker
    from sightline.server.models.text.passage_encoder import PassageEncoder

#: Value of ``encoder.model``: the small encoder in the package.
BUILTIN_ENCODER = "builtin"
#: Value of ``encoder.passage_model``: the text tower of the image encoder.
SAME_AS_IMAGES = "encoder"
#: Value of ``detector.model``: none.
NO_DETECTOR = "off"
#: Values of ``reranker.model`` that are not cross-encoders.
NO_RERANKER = "off"
VLM_RERANKER = "vlm"


def check_reranker(model: str, *, has_vlm: bool) -> None:
    """Raise ConfigurationError if the VLM is the reranker and there is none."""
    if model == VLM_RERANKER and not has_vlm:
        raise ConfigurationError(
            "SIGHTLINE_RERANKER__MODEL is 'vlm', but SIGHTLINE_VLM__BASE_URL is not set. Set the "
            "endpoint of the vision-language model or another reranker."
        )


def load_encoder(settings: Settings, observer: BatchObserver | None = None) -> ImageTextEncoder:
    """Load the encoder of images. Blocks for seconds; raises ConfigurationError."""
    with import_lock:
        from sightline.server.models.image_text import image_text_encoder

    return image_text_encoder.load(settings.encoder, settings.data_dir, observer)


def load_detector(settings: Settings, observer: BatchObserver | None = None) -> PhraseDetector:
    """Load the detector. Blocks for seconds; raises ConfigurationError."""
    with import_lock:
        from sightline.server.models.detection import loading

    return loading.load(settings.detector, observer)


def load_passage_encoder(
    settings: Settings, observer: BatchObserver | None = None
) -> PassageEncoder:
    """Load the encoder of passages. Blocks for seconds; raises ConfigurationError."""
    with import_lock:
        from sightline.server.models.text import passage_encoder

    return passage_encoder.load(settings.encoder, settings.data_dir, observer)


def load_reranker(
    settings: Settings, observer: BatchObserver | None = None
) -> CrossEncoderReranker:
    """Load the cross-encoder. Blocks for seconds; raises ConfigurationError."""
    with import_lock:
        from sightline.server.models.text import cross_encoder_reranker

    model, data_dir = settings.reranker.model, settings.data_dir
    return cross_encoder_reranker.load(model, settings.encoder, data_dir, observer)
