"""Draw the waveform of a sound: the picture of an audio file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 1600, 400
"""Pixels. The width is the duration, so that a time is a horizontal position."""
_AXIS_HEIGHT = 40
_WAVE, _LINE, _TEXT = (37, 99, 175), (205, 210, 218), (70, 75, 82)
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MIN_STEP_PIXELS = 130


def draw_waveform(peaks: NDArray[np.int16], seconds: float) -> Image.Image:
    """Return an RGB picture of loudness over time with a scale in minutes and seconds.

    ``peaks`` are the largest samples of equal pieces of time. The loudest one fills the height.
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(20)
    step = next((s for s in _STEPS if WIDTH * s / seconds >= _MIN_STEP_PIXELS), _STEPS[-1])
    for number in range(int(seconds / step) + 1):
        x = WIDTH * number * step / seconds
        draw.line((x, 0, x, HEIGHT), _LINE)
        draw.text((x + 6, HEIGHT - _AXIS_HEIGHT + 9), _clock(number * step), _TEXT, font)
    middle = (HEIGHT - _AXIS_HEIGHT) / 2
    levels = _columns(peaks) / max(1, int(peaks.max(initial=0)))
    for x, level in enumerate(levels):
        half = max(0.5, float(level) * (middle - 6))
        draw.line((x, middle - half, x, middle + half), _WAVE)
    draw.line((0, HEIGHT - _AXIS_HEIGHT, WIDTH, HEIGHT - _AXIS_HEIGHT), _TEXT)
    return image


def _columns(peaks: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the largest peak of each column of pixels."""
    if not len(peaks):
        return np.zeros(WIDTH, np.int16)
    edges = np.arange(WIDTH + 1) * len(peaks) // WIDTH
    starts = np.minimum(edges[:-1], len(peaks) - 1)
    return np.maximum.reduceat(peaks, starts).astype(np.int16)


def _clock(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
