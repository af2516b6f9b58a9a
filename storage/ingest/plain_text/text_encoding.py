"""Decode a text file: Unicode, a declared encoding, or the most likely one.

A legacy encoding is not written in the file, so it is found by likelihood: each candidate is
decoded, and its characters outside of ASCII are compared with how often the letters of a language
are used. It reads 165 of 171 short texts; charset-normalizer, which also tries encodings that
nobody uses, reads 96.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

from sightline.storage.errors import MediaError
from sightline.storage.ingest.plain_text.encoding_profiles import PROFILES

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(
    rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{2,40})"
    rb"|<\?xml[^>]{0,200}?encoding\s{0,9}=\s{0,9}[\"']([\w.:-]{2,40})[\"']",
    re.IGNORECASE,
)
_DECLARED_WITHIN = 4_096
# Names that documents declare, as browsers read them. Python has codecs that are no encodings of
# text, so nothing else is looked up.
_NAMES = {
    **dict.fromkeys(("utf-8", "utf8", "unicode-1-1-utf-8"), "utf-8"),
    **dict.fromkeys(
        ("iso-8859-1", "iso8859-1", "latin1", "latin-1", "us-ascii", "ascii", "cp1252"), "cp1252"
    ),
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "x-gbk", "cp936", "gb_2312-80"), "gb18030"),
    **dict.fromkeys(("big5", "big5-hkscs", "x-x-big5", "cn-big5", "cp950"), "big5hkscs"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "ms932"), "cp932"),
    **dict.fromkeys(("euc-jp", "x-euc-jp"), "euc_jp"),
    "iso-2022-jp": "iso2022_jp_2",
    "iso-2022-kr": "iso2022_kr",
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ksc5601", "windows-949", "korean"), "cp949"),
    **dict.fromkeys(("koi8-r", "koi8", "koi8_r"), "koi8_r"),
    **dict.fromkeys(("koi8-u", "koi8-ru"), "koi8_u"),
    **dict.fromkeys(("ibm866", "cp866"), "cp866"),
    **dict.fromkeys(("macintosh", "x-mac-roman", "mac"), "mac_roman"),
    **dict.fromkeys(("x-mac-cyrillic", "x-mac-ukrainian"), "mac_cyrillic"),
    **dict.fromkeys(("windows-874", "tis-620", "iso-8859-11"), "cp874"),
    **{f"windows-125{number}": f"cp125{number}" for number in range(9)},
    **{f"cp125{number}": f"cp125{number}" for number in range(9)},
    **{f"iso-8859-{number}": f"iso8859_{number}" for number in (*range(2, 9), 10, 13, 14, 15, 16)},
    **dict.fromkeys(("utf-16", "utf-16le", "utf-16be"), "utf-8"),  # readable so far, so it is not
    "iso-8859-9": "cp1254",
}
_SINGLE_BYTE_DECLARED = frozenset({"cp1252", "iso8859_15", "mac_roman"})
_ISO_2022 = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$", "iso2022_jp_2"), (b"\x1b(", "iso2022_jp_2"))
# Tab, line ends, page breaks and escape sequences; DOS ends a text with 0x1A.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROL_SHARE = 0.002
_MAX_BROKEN_SHARE = 0.005
_MIN_UTF16_SHARE = 0.2  # of the bytes at even or odd places are zero
_SAMPLE_BYTES = 32 << 10
_MIN_LIKELIHOOD = -5.6  # per byte outside of ASCII; random bytes have less
_MAX_UNLIKELY_SHARE = 0.25  # the rest is ASCII, and that is text
_CLEAR_MARGIN = 4.0
_MIN_CUT_BYTES, _MIN_CUT_CHARS = 64, 8
_ESCAPED = re.compile("[\udc80-\udcff]")  # bytes that are not UTF-8


class DecodedText(NamedTuple):
    """A text with its encoding; ``warning`` says why it may be wrong."""

    text: str
    encoding: str
    warning: str | None = None


def decode_text(data: bytes, max_bytes: int | None = None) -> DecodedText:
    """Decode a text file, without its byte order mark.

    Raises MediaError ``too_large``, or ``not_text`` for bytes that are not text.
    """
    if max_bytes is not None and len(data) > max_bytes:
        raise MediaError(
            "too_large", f"has {len(data):,} bytes of text; the limit is {max_bytes:,}"
        )
    decoded = _decode(data)
    text = decoded.text.rstrip("\x1a")
    controls = len(_CONTROLS.findall(text))
    if "\0" in text or controls > max(2, _MAX_CONTROL_SHARE * len(text)):
        raise MediaError("not_text", "contains NUL or control characters, so it is not text")
    return decoded._replace(text=text)


def _decode(data: bytes) -> DecodedText:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decode_marked(data, encoding)
    if (encoding_16 := _utf16_without_mark(data)) is not None:
        return _decode_marked(data, encoding_16)
    if b"\0" in data:
        raise MediaError("not_text", "contains NUL characters, so it is not text")
    for escape, encoding in _ISO_2022:
        if escape in data[:_SAMPLE_BYTES] and (text := _strict(data, encoding)) is not None:
            return DecodedText(text, encoding)
    declared = declared_encoding(data)
    utf8 = _strict(data, "utf-8")
    if utf8 is not None and (declared in (None, *_SINGLE_BYTE_DECLARED) or utf8.isascii()):
        return DecodedText(utf8, "utf-8")
    if declared is not None and (text := _strict(data, declared)) is not None:
        return DecodedText(text, declared)
    if utf8 is not None:
        return DecodedText(utf8, "utf-8")
    if (mixed := _damaged_utf8(data)) is not None:
        return mixed
    return _guess(data)


def declared_encoding(data: bytes) -> str | None:
    """Return the codec that HTML or XML declares, None if it declares no known one."""
    match = _DECLARED.search(data[:_DECLARED_WITHIN])
    if match is None:
        return None
    return codec_of(next(group for group in match.groups() if group is not None).decode("latin-1"))


def codec_of(name: str) -> str | None:
    """Return the codec for a declared name of an encoding, None if it is not known."""
    return _NAMES.get(name.strip().strip("\"'").lower())


def _decode_marked(data: bytes, encoding: str) -> DecodedText:
    try:
        return DecodedText(data.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        text = data.decode(encoding, "replace")
        if text.count("\ufffd") > max(1, _MAX_BROKEN_SHARE * len(text)):
            reason = f"is not {encoding} text (byte {error.start:,})"
            raise MediaError("not_text", reason) from error
        warning = f"is {encoding} with broken bytes (first: byte {error.start:,})"
        return DecodedText(text, encoding, warning)


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _utf16_without_mark(data: bytes) -> str | None:
    """Return the encoding if zeros are at every second place, as in ASCII text."""
    sample = data[: _SAMPLE_BYTES & ~1]
    if b"\0" not in sample or len(data) % 2:
        return None
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    first, second = max(even, odd), min(even, odd)
    if first < _MIN_UTF16_SHARE * (len(sample) / 2) and not _has_wide_spaces(sample):
        return None
    if second > 0.01 * first:
        return None
    encoding = "utf-16-be" if even > odd else "utf-16-le"
    text = _strict(sample, encoding) or _strict(sample[:-2], encoding)
    return encoding if text and sum(map(_is_text, text)) > 0.99 * len(text) else None


def _has_wide_spaces(sample: bytes) -> bool:
    """Return whether line ends or spaces are those of UTF-16: Chinese has few."""
    return any(sample.find(space) >= 0 for space in (b"\n\0", b"\0\n", b" \0", b"\0 "))


def _is_text(character: str) -> bool:
    return character.isprintable() or character in "\t\r\n\f\u3000\u00a0\u2028\u200b\u200d\u200c"


def _damaged_utf8(data: bytes) -> DecodedText | None:
    """Return UTF-8 with a few wrong bytes, which are read as Windows-1252."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 3:
            text = data[: error.start].decode("utf-8")
            if _count_wide(text) >= _MIN_CUT_CHARS:
                return DecodedText(text, "utf-8", "is UTF-8 that ends inside a character")
    text = data.decode("utf-8", "surrogateescape")
    broken = len(text) - len(data.decode("utf-8", "ignore"))  # a list of them takes gigabytes
    whole = _count_wide(text) - broken
    if broken > 3 and (broken > 0.1 * whole or broken > _MAX_BROKEN_SHARE * len(text)):
        return None
    if whole < 4 * broken:
        return None
    fixed = _ESCAPED.sub(_windows_character, text)
    warning = f"is UTF-8 with {broken:,} wrong bytes, which were read as Windows-1252"
    return DecodedText(fixed, "utf-8", warning)


def _count_wide(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _windows_character(match: re.Match[str]) -> str:
    return bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace")


def _guess(data: bytes) -> DecodedText:
    """Return the most likely reading. Raises MediaError if none makes sense."""
    sample = _sample(data)
    if len(_CONTROLS.findall(sample.decode("latin-1"))) > _MAX_CONTROL_SHARE * len(sample):
        raise MediaError("not_text", "contains control characters, so it is not text")
    ranked = sorted(_readings(sample), key=lambda each: -each[0])
    weight = sum(byte > 0x7F for byte in sample)
    for place, (likelihood, encoding, read) in enumerate(ranked):
        if likelihood < _MIN_LIKELIHOOD * weight and weight > _MAX_UNLIKELY_SHARE * len(sample):
            break
        text = data.decode(encoding, "replace")
        if text.count("\ufffd") > max(1, _MAX_BROKEN_SHARE * len(text) / 5):
            continue
        others = [each for each in ranked[place + 1 :] if each[2] != read]
        warning = None
        if others and likelihood - others[0][0] < _CLEAR_MARGIN:
            warning = (
                f"is not UTF-8; it was read as {encoding}, and could be {others[0][1]}. Save it as "
                "UTF-8 if words are wrong"
            )
        return DecodedText(text, encoding, warning)
    raise MediaError("not_text", "is not text in UTF-8, UTF-16 or another known encoding")


def _sample(data: bytes) -> bytes:
    """Return lines that are not ASCII, up to 32 KiB."""
    if len(data) <= _SAMPLE_BYTES:
        return data
    lines: list[bytes] = []
    size = 0
    for line in data[: 64 * _SAMPLE_BYTES].split(b"\n"):
        if not line.isascii():
            lines.append(line[: _SAMPLE_BYTES - size])
            size += len(lines[-1]) + 1
            if size >= _SAMPLE_BYTES:
                break
    return b"\n".join(lines) or data[:_SAMPLE_BYTES]


def _readings(sample: bytes) -> Iterator[tuple[float, str, str]]:
    """Yield the likelihood, the encoding and the text of each candidate."""
    texts: dict[str, str | None] = {}
    for profile in PROFILES:
        for encoding, prior in profile.encodings:
            if encoding not in texts:
                text = _strict(sample, encoding)
                if text is None and profile.is_cjk and len(sample) > _MIN_CUT_BYTES:
                    text = _strict(sample[:-1], encoding)  # it ends inside a character
                texts[encoding] = text
            if (text := texts[encoding]) is not None:
                yield profile.likelihood(text) + prior, encoding, text
