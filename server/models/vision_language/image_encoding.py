"""Pictures as a model is sent them: sized for its family, in data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sightline.tools.boxes import letterbox
from sightline.tools.boxes.geometry import Placement
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.shared import images
from sightline.tools.vlm.vision_language_model import Part

#: Encoded pictures come from our own tools, which have checked their size before.
_MOST_PIXELS = 200_000_000
_JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A picture in a prompt, and where the original lies in it."""

    url: str
    placement: Placement


def prepare(parts: Sequence[Part], profile: Profile) -> list[str | SentPicture]:
    """The parts with each picture made ready; takes CPU time, so run it in a thread.

    Raises MediaError for bytes that are no picture.
    """
    return [part if isinstance(part, str) else _prepare_one(part, profile) for part in parts]


def _prepare_one(part: Image.Image | images.EncodedPicture, profile: Profile) -> SentPicture:
    image = (
        images.open_upright(part.data, max_pixels=_MOST_PIXELS)
        if isinstance(part, images.EncodedPicture)
        else letterbox.upright(part)
    )
    sent = letterbox.render(profile.fit, image)
    buffer = io.BytesIO()
    if profile.lossless:
        sent.save(buffer, "PNG")
        kind = "png"
    else:
        # Without chroma subsampling, which blurs coloured small print.
        sent.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        kind = "jpeg"
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return SentPicture(f"data:image/{kind};base64,{encoded}", profile.place(image.size))
