"""SVG: drawn with its text, and nothing from outside."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import numpy as np
import pytest

from sightline.storage.errors import MediaError
from tests.support.picture_files import (
    color_at,
    decode_file,
    every_view,
    images_of,
    shows_three_colors,
    three_colors,
)
from tests.support.sample_images import encoded

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
SHAPES = (
    '<rect width="48" height="32" fill="rgb(220,40,40)"/>'
    '<rect x="48" width="48" height="32" fill="rgb(40,60,210)"/>'
    '<rect y="32" width="96" height="32" fill="rgb(50,180,60)"/>'
)


def svg(inside: str, attributes: str = 'viewBox="0 0 96 64"', before: str = "") -> bytes:
    return f"{before}{HEAD} {attributes}>{inside}</svg>".encode()


@pytest.mark.parametrize(
    "attributes",
    [
        'viewBox="0 0 96 64"',
        'width="96" height="64"',
        'width="9.6cm" height="6.4cm" viewBox="0 0 96 64"',
        'width="100%" viewBox="0 0 96 64"',
        'width="1e300" height="3" viewBox="0 0 96 64"',
    ],
)
def test_a_drawing_has_its_colors(attributes: str) -> None:
    views = every_view("a.svg", svg(SHAPES, attributes))
    if "1e300" not in attributes:
        assert all(shows_three_colors(view) for view in views)
    assert 1024 <= max(views[-1].size) <= 4096


@pytest.mark.parametrize(
    "data",
    [
        svg(SHAPES, before='<?xml version="1.0" encoding="UTF-8"?>\n<!-- a -->\n'),
        svg(SHAPES, before='<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x/svg.dtd">'),
        gzip.compress(svg(SHAPES)),
        svg(SHAPES).decode().encode("utf-16"),
        b"<!DOCTYPE svg [<!ENTITY ns 'http://www.w3.org/2000/svg'>]>"
        + svg(SHAPES).replace(b"http://www.w3.org/2000/svg", b"&ns;"),
    ],
)
def test_every_way_to_write_a_drawing_is_read(data: bytes) -> None:
    for name in ("a.svgz",) if data[:2] == b"\x1f\x8b" else ("a.svg",):
        assert all(shows_three_colors(view) for view in every_view(name, data))


def test_the_declared_encoding_of_a_drawing_is_used() -> None:
    drawing = svg('<text x="4" y="50" font-size="40">ЖЩ</text>').decode()
    declared = f'<?xml version="1.0" encoding="windows-1251"?>{drawing}'.encode("cp1251")
    views = [every_view("a.svg", data)[-1] for data in (declared, drawing.encode())]
    assert np.array_equal(*map(np.asarray, views))


@pytest.mark.parametrize("font", ["Arial", "Times New Roman", "monospace", "Nothing Known"])
def test_text_is_drawn_in_any_font(font: str) -> None:
    text = f'<text x="4" y="50" font-size="40" font-family="{font}">MK</text>'
    view = every_view("a.svg", svg(text))[-1]
    assert 0.03 < float((np.asarray(view.convert("L")) < 128).mean()) < 0.6


def test_white_text_on_nothing_can_be_read() -> None:
    view = every_view("a.svg", svg('<text x="4" y="50" font-size="40" fill="white">MK</text>'))[-1]
    assert color_at(view, 0.01, 0.01)[0] < 100


def test_pictures_from_outside_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(three_colors(), "PNG"))
    for href in (str(secret), f"file://{secret}", secret.name, "http://127.0.0.1:1/a.png", "//x/a"):
        for name in ("href", "xlink:href"):
            image = f'<image {name}="{href}" width="96" height="64"/>'
            (part,) = images_of(decode_file("a.svg", svg(image)))
            assert part.hashes is None, href  # nothing is drawn


def test_a_picture_inside_is_drawn_and_a_drawing_inside_is_not(tmp_path: Path) -> None:
    inside = base64.b64encode(encoded(three_colors(), "PNG")).decode()
    image = f'<image xlink:href="data:image/png;base64,{inside}" width="96" height="64"/>'
    assert all(shows_three_colors(view) for view in every_view("a.svg", svg(image)))
    nested = base64.b64encode(svg(SHAPES)).decode()
    image = f'<image xlink:href="data:image/svg+xml;base64,{nested}" width="96" height="64"/>'
    (part,) = images_of(decode_file("a.svg", svg(image)))
    assert part.hashes is None


def test_style_sheets_and_fonts_from_outside_are_not_read() -> None:
    style = (
        "<style>@import url(file:///etc/passwd); rect { fill: rgb(220,40,40) }"
        "@font-face { font-family: x; src: url(http://127.0.0.1:1/x.ttf) }</style>"
    )
    rect = '<rect width="96" height="64" style="filter:url(http://127.0.0.1:1/#f)"/>'
    view = every_view("a.svg", svg(style + rect))[-1]
    assert color_at(view, 0.5, 0.5) == (220, 40, 40)


def test_programs_are_removed() -> None:
    inside = '<script>x</script><foreignObject><body/></foreignObject><a href="#a" id="a"/>'
    assert shows_three_colors(every_view("a.svg", svg(SHAPES + inside))[-1])


def fan(levels: int, width: int = 10) -> bytes:
    groups = "".join(
        f'<g id="a{level}">' + f'<use href="#a{level + 1}"/>' * width + "</g>"
        for level in range(levels)
    )
    return svg(f'<defs>{groups}<rect id="a{levels}" width="1" height="1"/></defs><use href="#a0"/>')


HOSTILE = {
    "billions of shapes": fan(9),
    "a pattern in patterns": svg(
        "<defs>"
        + "".join(
            f'<pattern id="p{n}" width="1" height="1">'
            + f'<rect width="9" height="9" fill="url(#p{n + 1})"/>' * 30
            + "</pattern>"
            for n in range(5)
        )
        + '</defs><rect width="9" height="9" fill="url(#p0)"/>'
    ),
    "a use of itself": svg('<g id="a"><use href="#a"/></g>'),
    "a circle of uses": svg('<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>'),
    "a billion laughs": b'<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    + svg("<text>&b;</text>"),
    "a long entity": b'<!DOCTYPE svg [<!ENTITY a "'
    + b"x" * 100_000
    + b'">]>'
    + svg("<text>" + "&a;" * 10_000 + "</text>"),
    "an external entity": b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    + svg("<text>&a;</text>"),
    "deep nesting": svg("<g>" * 5_000 + "</g>" * 5_000),
    "a compressed bomb": gzip.compress(b"<svg>" + b" " * (40 << 20)),
    "no SVG": b"<svg xmlns='x'",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_drawings_are_refused(name: str) -> None:
    with pytest.raises(MediaError) as caught:
        decode_file("a.svgz" if "compressed" in name else "a.svg", HOSTILE[name])
    assert caught.value.code in ("broken", "too_large", "not_an_image")


def test_drawings_with_many_shapes_are_drawn() -> None:
    assert images_of(decode_file("a.svg", fan(3)))


def test_a_picture_of_too_many_pixels_inside_is_left_out() -> None:
    from PIL import Image

    bomb = base64.b64encode(encoded(Image.new("1", (20_000, 20_000)), "PNG")).decode()
    image = f'<image href="data:image/png;base64,{bomb}" width="96" height="64"/>'
    assert shows_three_colors(every_view("a.svg", svg(SHAPES + image))[-1])
