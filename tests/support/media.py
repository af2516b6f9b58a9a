"""Videos, PDFs and images of text for tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A5
from reportlab.pdfgen.canvas import Canvas

Shot = tuple[tuple[int, int, int], float]
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def film(
    path: Path,
    shots: Sequence[Shot],
    size: tuple[int, int] = (160, 96),
    cues: Sequence[tuple[float, float, str]] = (),
    codec: str = "mpeg4",
    **metadata: str,
) -> Path:
    """Write a video of shots: a color and seconds each, at ten frames per second.

    Chromium plays the ``codec`` libvpx in a file ``.webm``.
    """
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata)
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        track = out.add_stream("subrip") if cues else None
        if track is not None:
            track.codec_context.subtitle_header = b"[Script Info]\n"
        for colour, seconds in shots:
            pixels = np.full((size[1], size[0], 3), colour, np.uint8)
            pixels[20:60, 40:90] = 255 - pixels[20:60, 40:90]
            for _ in range(round(seconds * 10)):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for start, end, text in cues:
            packet = av.Packet(text.encode())
            packet.stream, packet.time_base = track, Fraction(1, 1000)
            packet.pts = packet.dts = round(start * 1000)
            packet.duration = round((end - start) * 1000)
            out.mux(packet)
        out.mux(stream.encode())
    return path


def pdf(*pages: Callable[[Canvas], None], size: tuple[float, float] = A5, **how: object) -> bytes:
    """Return a PDF with the drawn pages."""
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=size, **how)
    for draw in pages:
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def sign(path: Path, *lines: str) -> Path:
    """Write a white image with black lines of text."""
    image = Image.new("RGB", (480, 160), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(28)
    for number, line in enumerate(lines):
        draw.text((20, 15 + 45 * number), line, "black", font=font)
    image.save(path)
    return path
