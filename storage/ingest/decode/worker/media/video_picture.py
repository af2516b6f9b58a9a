"""Turn a video frame into the picture that a player shows.

Rotation, pixel aspect, interlacing, color matrix and range, and HDR.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

MAX_EDGE = 1920
# Numbers of ITU-T H.273.
_UNSPECIFIED = 2
_BT2020_MATRICES = frozenset({9, 10})
_PQ, _HLG = 16, 18
_BT2020_PRIMARIES, _P3_PRIMARIES = 9, 12
_MIN_HD_HEIGHT, _MIN_HD_WIDTH = 720, 1280  # from this size on, players assume BT.709
_TO_BT709 = {
    _BT2020_PRIMARIES: (
        (1.6605, -0.5876, -0.0728),
        (-0.1246, 1.1329, -0.0083),
        (-0.0182, -0.1006, 1.1187),
    ),
    _P3_PRIMARIES: (
        (1.2249, -0.2247, 0.0),
        (-0.0420, 1.0419, 0.0),
        (-0.0197, -0.0786, 1.0979),
    ),
}
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0  # ITU-R BT.2408: diffuse white; usual mastering peak
_KNEE = 0.6  # of white; darker values are not changed
_MAX_ASPECT = 8  # more is a broken header
_MIN_COMB = 10  # of 255
_COMBED_SHARE = 0.004
_TRANSPOSES = {  # signs or axes of a display matrix: its first two columns
    (1, 0, 0, 1): None,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def shown_picture(frame: Any, pixel_aspect: float) -> Image.Image:
    """Return the frame as a player shows it: upright, sRGB, at most 1,920 pixels long.

    ``pixel_aspect`` is the width of a pixel divided by its height.
    """
    if frame.interlaced_frame and _is_combed(frame):
        frame = _deinterlaced(frame)
    width, height = shown_size(frame.width, frame.height, pixel_aspect)
    is_hdr = frame.color_trc in (_PQ, _HLG)
    if is_hdr or frame.color_primaries in _TO_BT709:
        rgb = _reformat(frame, width, height, "rgb48le").to_ndarray()
        image = Image.fromarray(to_srgb(rgb, frame.color_trc, frame.color_primaries))
    else:
        image = _reformat(frame, width, height, "rgb24").to_image()
    turn = _turn(frame)
    return image if turn is None else image.transpose(turn)


def shown_size(width: int, height: int, pixel_aspect: float) -> tuple[int, int]:
    """Return the size with square pixels: wide pixels widen, as in players."""
    aspect = pixel_aspect
    if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        aspect = 1.0
    wide, high = (width * aspect, float(height)) if aspect >= 1 else (width, height / aspect)
    scale = min(1.0, MAX_EDGE / max(wide, high))
    return max(1, round(wide * scale)), max(1, round(high * scale))


def _reformat(frame: Any, width: int, height: int, pixel_format: str) -> Any:
    """Scale with the right matrix. FFmpeg would take BT.601 for HD without a matrix."""
    matrix = None
    if frame.colorspace == _UNSPECIFIED:
        is_hd = frame.height >= _MIN_HD_HEIGHT or frame.width >= _MIN_HD_WIDTH
        matrix = "ITU709" if is_hd else "ITU601"
    elif frame.colorspace in _BT2020_MATRICES:
        matrix = "BT2020"
    return frame.reformat(
        width, height, format=pixel_format, src_colorspace=matrix, dst_color_range="JPEG", threads=1
    )


def _turn(frame: Any) -> Image.Transpose | None:
    """Return how the display matrix turns or mirrors the frame."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX" and data.buffer_size >= 36:
            a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
            longest = max(abs(a), abs(b), abs(c), abs(d), 1)
            signs = tuple(round(each / longest) for each in (a, b, c, d))
            return _TRANSPOSES.get(signs)
    return None


def _is_combed(frame: Any) -> bool:
    """Return whether the two fields of a frame show different moments."""
    plane = frame.planes[0]
    if frame.format.components[0].bits != 8 or not frame.format.is_planar:
        return True
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    luma = rows[: frame.height, : frame.width].astype(np.int16)
    above, here, below = luma[:-2], luma[1:-1], luma[2:]
    up, down = here - above, here - below
    combed = (
        (np.minimum(np.abs(up), np.abs(down)) > _MIN_COMB)
        & ((up > 0) == (down > 0))
        & (np.abs(above - below) < _MIN_COMB)
    )
    return bool(combed.size) and float(combed.mean()) > _COMBED_SHARE


def _deinterlaced(frame: Any) -> Any:
    """Return the first field; the other lines are interpolated along edges."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or "1/90000",
    )
    deinterlace = graph.add("estdif", "mode=frame:deint=all:rslope=3:redge=3:interp=2p:dcost=4")
    sink = graph.add("buffersink")
    source.link_to(deinterlace)
    deinterlace.link_to(sink)
    graph.configure()
    graph.push(frame)
    graph.push(None)
    return graph.pull()


def to_srgb(rgb: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    """Map HDR or wide-gamut RGB, uint16 (height, width, 3), to sRGB."""
    linear = _eotf(transfer)[rgb]
    if transfer == _HLG:  # the display's gamma, on luminance (ITU-R BT.2100)
        luminance = linear @ np.array((0.2627, 0.6780, 0.0593), np.float32)
        linear *= (_PEAK_NITS / _WHITE_NITS) * (np.maximum(luminance, 1e-6) ** 0.2)[..., None]
    if matrix := _TO_BT709.get(primaries):
        linear = np.maximum(linear @ np.array(matrix, np.float32).T, 0)
    if transfer in (_PQ, _HLG):
        peak = linear.max(axis=2, keepdims=True)
        linear *= _rolled_off(peak) / np.maximum(peak, 1e-6)
    table = _srgb_table()
    index = np.clip(linear * (len(table) - 1), 0, len(table) - 1).astype(np.uint16)
    return table[index]


def _rolled_off(value: Floats) -> Floats:
    """Return values up to the knee as they are; those up to the peak reach 1."""
    peak, knee = _PEAK_NITS / _WHITE_NITS, _KNEE
    a = -knee * knee * (peak - 1) / (knee * knee - 2 * knee + peak)
    b = (knee * knee - 2 * knee * peak + peak) / (peak - 1)
    scale = (b * b + 2 * b * knee + knee * knee) / (b - a)
    curved = scale * (np.minimum(value, peak) + a) / (np.minimum(value, peak) + b)
    return np.where(value <= knee, value, curved).astype(np.float32)


@cache
def _eotf(transfer: int) -> Floats:
    """Return the linear light of each uint16 value.

    1 is white; for HLG, whose light is that of the scene, 1 is the peak.
    """
    signal = np.linspace(0, 1, 1 << 16)
    if transfer == _PQ:
        power = signal ** (1 / 78.84375)
        light = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        linear = 10_000 / _WHITE_NITS * light ** (1 / 0.1593017578125)
    elif transfer == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        linear = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:  # SDR, on a display with gamma 2.2, which sRGB encodes again
        linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


@cache
def _srgb_table() -> NDArray[np.uint8]:
    """Return the sRGB value for linear light in steps of 1/65535."""
    light = np.linspace(0, 1, 1 << 16)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)
