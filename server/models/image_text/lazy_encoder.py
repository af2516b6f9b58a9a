"""An encoder that loads while the server already answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sightline.server.lazy_resource import Background, in_daemon_thread
from sightline.server.models.image_text.image_text_encoder import ImageTextEncoder
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.storage.errors import ModelUnavailableError
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors


class BackgroundEncoder:
    """An `ImageEncoder` over one that ``load`` makes in a thread, from ``start`` to ``close``.

    The encoding methods wait for it a bounded time; `identity` and `preprocess` cannot wait and
    raise until it is there, so await `get` before them.
    """

    def __init__(
        self,
        load: Callable[[], ImageTextEncoder],
        *,
        name: str,
        wait_seconds: float,
        delay_seconds: float = 0.0,
    ) -> None:
        self._loading = Background(
            f"the encoder {name!r}",
            lambda: in_daemon_thread(load, discard=ImageTextEncoder.close),
            wait_seconds=wait_seconds,
            unavailable=ModelUnavailableError,
            delay_seconds=delay_seconds,
        )

    @property
    def loading(self) -> Background[ImageTextEncoder]:
        """State, error and the encoder itself, for those who report on it."""
        return self._loading

    def start(self) -> None:
        """Begin to load."""
        self._loading.start()

    async def close(self) -> None:
        """Stop loading, or let the encoder finish its batch and stop."""
        await self._loading.close()
        encoder = self._loading.value
        if encoder is not None:
            encoder.close()

    async def get(self) -> ImageTextEncoder:
        """The loaded encoder, waiting a bounded time for it.

        Raises ModelUnavailableError: still loading, or the reason why it could not be loaded.
        """
        return await self._loading.get()

    @property
    def identity(self) -> EncoderIdentity:
        """The space of the vectors; raises ModelUnavailableError until the encoder is loaded."""
        return self._loaded().identity

    @property
    def preprocess(self) -> Preprocess:
        """Picture to pixels; raises ModelUnavailableError until the encoder is loaded."""
        return self._loaded().preprocess

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """See `ImageTextEncoder.encode_images`; raises ModelUnavailableError as well."""
        return await (await self.get()).encode_images(pixels)

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """See `ImageTextEncoder.encode_texts`; raises ModelUnavailableError as well."""
        return await (await self.get()).encode_texts(texts)

    def _loaded(self) -> ImageTextEncoder:
        encoder = self._loading.value
        if encoder is not None:
            return encoder
        error = self._loading.error
        raise ModelUnavailableError(
            "the encoder is still loading; try again soon" if error is None else str(error)
        ) from error
