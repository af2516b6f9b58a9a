"""How the client of the current call gets images: inline, or as links.

The HTTP server knows its own address and the preference of the connection. Over stdio there is no
address, so results have no `image_url`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args
from urllib.parse import quote, urlencode

from sightline.storage.types import Box

if TYPE_CHECKING:
    from sightline.tools.shared.dependencies import Dependencies

#: ``inline``: results contain images. ``link``: only their addresses, for clients that would
#: convert an image to text, which costs a hundred thousand tokens.
ImageMode = Literal["inline", "link"]
IMAGE_MODES: Final[tuple[ImageMode, ...]] = get_args(ImageMode)
#: Path of the pictures below the address of the server.
ASSETS_PATH: Final = "/assets"
#: Proxies and the HTTP server limit the head of a request.
_MAX_URL_CHARS: Final = 6_000


@dataclass(frozen=True, slots=True)
class _Delivery:
    base_url: str
    #: None: the setting of the server decides.
    mode: ImageMode | None


_delivery: ContextVar[_Delivery | None] = ContextVar("image_delivery", default=None)


@contextmanager
def deliver_images(base_url: str, mode: ImageMode | None) -> Iterator[None]:
    """Set the address of the server and the preference of a connection for the block."""
    token = _delivery.set(_Delivery(base_url, mode))
    try:
        yield
    finally:
        _delivery.reset(token)


def inline_by_default(deps: Dependencies) -> bool:
    """Return whether a result contains images if the call does not say so."""
    delivery = _delivery.get()
    mode = deps.images if delivery is None or delivery.mode is None else delivery.mode
    return mode == "inline"


def image_url(
    asset: str, *, crop: Box | None = None, annotated: bool = False, boxes: str | None = None
) -> str | None:
    """Return the address of a picture as JPEG, None over stdio or if it is too long.

    ``boxes`` is the last part of an `overlay_uri`.
    """
    delivery = _delivery.get()
    if delivery is None:
        return None
    values = {
        "crop": crop and ",".join(f"{value:.6g}" for value in crop),
        "annotated": "true" if annotated else None,
        "boxes": boxes,
    }
    query = urlencode({name: value for name, value in values.items() if value}, safe=",")
    url = f"{delivery.base_url}{ASSETS_PATH}/{quote(asset, safe='')}{query and '?' + query}"
    return url if len(url) <= _MAX_URL_CHARS else None


def image_url_template() -> str | None:
    """Return ``https://host/assets/{asset}`` for hits, None over stdio."""
    delivery = _delivery.get()
    return None if delivery is None else f"{delivery.base_url}{ASSETS_PATH}/{{asset}}"
