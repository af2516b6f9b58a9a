"""Images are decoded for clients as for ingest."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.tools.shared.images import decode_upright
from tests.support.sample_images import encoded, exif, picture


def test_invalid_exif_does_not_prevent_decoding() -> None:
    fields = Image.Exif()
    fields[0x0112] = 6
    fields[0x010E] = "a description"
    data = fields.tobytes()
    # The type of the description says now that it holds bytes, which Pillow reads and cannot write.
    broken = data.replace(b"\x01\x0e\x00\x02", b"\x01\x18\x00\x02")
    assert broken != data
    shown = decode_upright(encoded(picture(1, (48, 32)), exif=broken), max_pixels=10_000)
    assert (shown.size, shown.mode) == ((32, 48), "RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decoding_applies_the_exif_orientation_at_full_size(orientation: int) -> None:
    stored = picture(2, (400, 300))
    shown = decode_upright(
        encoded(stored, "PNG", exif=exif(orientation=orientation)), max_pixels=10**6
    )
    assert shown.size == ((300, 400) if orientation >= 5 else (400, 300))
    assert not shown.getexif()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_decoding_can_reduce_the_image(form: str) -> None:
    data = encoded(picture(2, (1200, 600)), form)
    assert max(decode_upright(data, max_pixels=10**6, edge=100).size) <= 200
    assert decode_upright(data, max_pixels=10**6, edge=1000).size == (1200, 600)


def test_16_bit_gray_keeps_its_shades_and_transparency_becomes_white() -> None:
    deep = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    shades = decode_upright(encoded(deep, "PNG"), max_pixels=10)
    assert [shades.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert decode_upright(encoded(clear, "PNG"), max_pixels=10).getpixel((0, 0)) == (255, 255, 255)


def test_empty_or_too_large_images_are_rejected_and_cut_ones_are_read() -> None:
    whole = encoded(picture(3, (64, 64)), "PNG")
    assert decode_upright(whole[: len(whole) // 2], max_pixels=10**6).size == (64, 64)
    for data in (b"", b"GIF89a", whole[:20]):
        with pytest.raises(MediaError):
            decode_upright(data, max_pixels=10**6)
    with pytest.raises(MediaError, match=r"64 x 64 = 4,096 pixels; the limit is 4,000"):
        decode_upright(whole, max_pixels=4_000)
