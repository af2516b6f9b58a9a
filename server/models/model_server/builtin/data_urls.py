"""Pictures out of data URLs. Nothing is fetched: http, https and file URLs are refused."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import Final

from PIL import Image

from sightline.server.models.model_server.builtin.openai_errors import Refusal
from sightline.server.models.model_server.builtin.request_limits import Limits
from sightline.storage.errors import shown

_DATA: Final = re.compile(r"data:[\w.+/-]*(?:;[\w=.+-]+)*;base64,", re.ASCII)
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_PARAM: Final = "messages"


def picture_of(url: str, limits: Limits) -> Image.Image:
    """The RGB picture in a data URL; refuses anything that is not one, or is too large."""
    head = _DATA.match(url)
    if head is None:
        raise Refusal(
            f"image_url must be a data URL with base64 content, not {shown(url[:60])}; this server "
            "fetches nothing",
            _PARAM,
            "invalid_image_url",
        )
    if len(url) - head.end() > limits.image_bytes * 4 // 3 + 4:
        raise Refusal(f"a picture may have {limits.image_bytes:,} bytes", _PARAM, "image_too_large")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(
            f"the picture's base64 is broken: {error}", _PARAM, "invalid_base64"
        ) from error
    try:
        return _decode(data, limits)
    except Refusal:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow reports broken files as any of these, by format and by place of the damage.
        raise Refusal(
            f"the picture cannot be read as {', '.join(_FORMATS)}: {error}", _PARAM, "invalid_image"
        ) from error


def _decode(data: bytes, limits: Limits) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        width, height = image.size
        if width * height > limits.image_pixels:
            raise Refusal(
                f"the picture has {width} x {height} pixels; {limits.image_pixels:,} are allowed",
                _PARAM,
                "image_too_large",
            )
        return image.convert("RGB")
