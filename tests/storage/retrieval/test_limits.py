"""What a cursor is bound to and what the log keeps of a request."""

from __future__ import annotations

from PIL import Image

from sightline.storage.retrieval import limits
from sightline.storage.retrieval.records import ImageRequest


def test_a_picture_is_known_again_by_another_process() -> None:
    red = Image.new("RGB", (64, 48), "#d02020")
    kept = limits.loggable(ImageRequest(picture=red))
    # The very digits: what a process salts for itself would differ from run to run.
    assert kept["picture"] == "picture 64x48 400ad300c3305027"


def test_a_cursor_of_one_picture_is_none_of_another() -> None:
    red, blue = (ImageRequest(picture=Image.new("RGB", (64, 48), c)) for c in ("red", "blue"))
    assert limits.digest(red) == limits.digest(red)
    assert limits.digest(red) != limits.digest(blue)
