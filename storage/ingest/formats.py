"""The table of file formats: how each is recognized, and what reads it.

The table drives ingest, ``sightline doctor`` and ``docs/reference/formats.md``. To add a format,
add a row and its decoder. A format that people have but that is not read has a row with advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from sightline.storage.errors import MediaError

FileType = Literal[
    "image",
    "text",
    "rows",
    "pdf",
    "document",
    "video",
    "audio",
    "subtitles",
    "archive",
    "unsupported",
    "unknown",
]

# Decoded in pages or frames, for as long as these take. An unknown file can be a PDF.
_STEPWISE_TYPES = frozenset[FileType]({"pdf", "document", "video", "audio", "unknown"})
_STEPWISE_PICTURES = frozenset({"TIFF", "GIF", "DICOM"})
#: So many bytes at the start of a file are enough to recognize its content.
HEAD_BYTES = 1024


class Reader(NamedTuple):
    """A library that reads formats: its module, and the package to install."""

    module: str
    package: str


READERS = {
    "Python": Reader("sys", "python"),
    "Pillow": Reader("PIL", "pillow"),
    "pillow-heif": Reader("pillow_heif", "pillow-heif"),
    "pillow-jxl-plugin": Reader("pillow_jxl", "pillow-jxl-plugin"),
    "pydicom": Reader("pydicom", "pydicom"),
    "rawpy": Reader("rawpy", "rawpy"),
    "resvg": Reader("resvg_py", "resvg-py"),
    "pypdfium2": Reader("pypdfium2", "pypdfium2"),
    "PyAV": Reader("av", "av"),
    "Beautiful Soup": Reader("bs4", "beautifulsoup4"),
    "defusedxml": Reader("defusedxml", "defusedxml"),
    "py7zr": Reader("py7zr", "py7zr"),
}


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One row of the table.

    ``decoder`` names the plugin of the reader: Pillow's format or FFmpeg's demuxer. ``magic``
    matches the start of a file and hardly that of any other. ``advice`` says what to do with a
    format that is not read.
    """

    name: str
    kind: FileType
    suffixes: tuple[str, ...]
    mime_type: str = ""
    reader: str = ""
    decoder: str = ""
    magic: re.Pattern[bytes] | None = None
    advice: str = ""

    @property
    def is_available(self) -> bool:
        """Return whether the format is read and its reader is installed."""
        if self.kind == "unsupported":
            return False
        return find_spec(READERS[self.reader].module) is not None

    def refusal(self) -> MediaError:
        """Return the error for a file of this format if it is not read here."""
        reason = f"is a file of the format {self.name}"
        if self.kind == "unsupported":
            return MediaError("unsupported", f"{reason}, which is not read; {self.advice}")
        if self.kind == "archive":
            reason += ", which is opened only by path and under its own suffix"
            return MediaError("unsupported", f"{reason} ({', '.join(self.suffixes)})")
        package = READERS[self.reader].package
        return MediaError("unsupported", f"{reason}, which needs {package}: pip install {package}")


def _read(
    kind: FileType,
    name: str,
    suffixes: str,
    mime_type: str,
    reader: str,
    decoder: str = "",
    magic: bytes = b"",
) -> FileFormat:
    pattern = re.compile(magic, re.DOTALL) if magic else None
    return FileFormat(name, kind, tuple(suffixes.split()), mime_type, reader, decoder, pattern)


def _picture(
    name: str, suffixes: str, mime_type: str, decoder: str, magic: bytes = b""
) -> FileFormat:
    return _read("image", name, suffixes, mime_type, "Pillow", decoder, magic)


def _video(
    name: str, suffixes: str, mime_type: str, demuxer: str, magic: bytes = b""
) -> FileFormat:
    return _read("video", name, suffixes, mime_type, "PyAV", demuxer, magic)


def _audio(
    name: str, suffixes: str, mime_type: str, demuxer: str, magic: bytes = b""
) -> FileFormat:
    return _read("audio", name, suffixes, mime_type, "PyAV", demuxer, magic)


def _packed_tar(name: str, suffixes: str, mime_type: str, magic: bytes) -> FileFormat:
    return _read("archive", name, suffixes, mime_type, "Python", magic=magic)


def _document(name: str, suffixes: str, subtype: str) -> FileFormat:
    is_office = "." in subtype
    family = "openxmlformats-officedocument." if is_office else "oasis.opendocument."
    # With a password, a document of Office is in a container of the old formats.
    magic = _ZIP + rb"|" + _OLE if is_office else _ZIP
    mime_type = f"application/vnd.{family}{subtype}"
    return _read("document", name, suffixes, mime_type, "defusedxml", magic=magic)


def _refused(name: str, suffixes: str, advice: str, magic: bytes = b"") -> FileFormat:
    pattern = re.compile(magic, re.DOTALL) if magic else None
    return FileFormat(name, "unsupported", tuple(suffixes.split()), magic=pattern, advice=advice)


_AS_IMAGE = "export it as PNG or JPEG"
_AS_PDF = "export it as PDF"
_AS_CSV = "export it as CSV"
_AS_ROWS = "export it as CSV or JSON Lines"
_UNPACK = "unpack it and ingest the folder"
_ZIP = rb"PK(?:\x03\x04|\x05\x06)"
_GZIP = rb"\x1f\x8b\x08"
_BZIP2 = rb"BZh[1-9]1AY&SY"
_XZ = rb"\xfd7zXZ\0"
_SEVEN_ZIP = rb"7z\xbc\xaf\x27\x1c"
_TIFF = rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]"
_OLE = rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_AVIF = rb"....ftyp(?:avi[fs]|m[is]f1.{4}(?:.{4}){0,12}avif)"
_HEIF = rb"....ftyp(?:hei[cxms]|hev[cxms]|m[is]f1)"
_JXL = rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"
_JPEG_2000 = rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  "
_PNM = rb"P[1-6f]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s"
_SVG = (
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml(?:(?!\?>).)*\?>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
    rb"(?:<!DOCTYPE\s+svg|<svg[\s>/])"
)
_MATROSKA = rb"\x1a\x45\xdf\xa3"

#: A row comes after the row of which it is a special case by name only, such as .docx after ZIP:
#: the content of a file without a known suffix is taken for the first that matches.
FORMATS: tuple[FileFormat, ...] = (
    # Images. `decoder` is a format of Pillow.
    _picture("JPEG", ".jpg .jpeg .jpe .jfif", "image/jpeg", "JPEG", rb"\xff\xd8\xff"),
    _picture("PNG", ".png .apng", "image/png", "PNG", rb"\x89PNG\r\n\x1a\n"),
    _picture("WebP", ".webp", "image/webp", "WEBP", rb"RIFF....WEBP"),
    _picture("GIF", ".gif", "image/gif", "GIF", rb"GIF8[79]a"),
    _picture("BMP", ".bmp .dib", "image/bmp", "BMP", rb"BM....\0\0\0\0"),
    _picture("TIFF", ".tif .tiff", "image/tiff", "TIFF", _TIFF),
    _picture("AVIF", ".avif .avifs", "image/avif", "AVIF", _AVIF),
    _read("image", "HEIC", ".heic .heif .hif", "image/heic", "pillow-heif", "HEIF", _HEIF),
    _read("image", "JPEG XL", ".jxl", "image/jxl", "pillow-jxl-plugin", "JXL", _JXL),
    _picture("JPEG 2000", ".jp2 .j2k .j2c .jpf .jpx", "image/jp2", "JPEG2000", _JPEG_2000),
    _picture("Photoshop", ".psd", "image/vnd.adobe.photoshop", "PSD", rb"8BPS\0\x01"),
    _picture("icon", ".ico", "image/x-icon", "ICO", rb"\0\0\x01\0[\x01-\x40]\0"),
    _picture("cursor", ".cur", "image/x-icon", "CUR", rb"\0\0\x02\0[\x01-\x40]\0"),
    _picture("PNM", ".pbm .pgm .ppm .pnm .pfm", "image/x-portable-anymap", "PPM", _PNM),
    _picture("TGA", ".tga .tpic", "image/x-tga", "TGA"),
    _read("image", "SVG", ".svg", "image/svg+xml", "resvg", "svg", _SVG),
    _refused("large Photoshop document", ".psb", _AS_IMAGE, rb"8BPS\0\x02"),
    _refused("PAM", ".pam", _AS_IMAGE, rb"P7\n"),
    _read("image", "DICOM", ".dcm .dicom", "application/dicom", "pydicom", "dicom", rb".{128}DICM"),
    _read(
        *("image", "camera RAW"),
        ".dng .nef .nrw .cr2 .cr3 .crw .arw .sr2 .srf .srw .raf .rw2 .rwl .orf .pef .3fr .fff .iiq "
        ".erf .kdc .dcr .mrw .mos .x3f",
        *("image/x-dcraw", "rawpy", "raw"),
        rb"FUJIFILMCCD-RAW|II(?:RO|RS|U\0)|MMOR|FOVb|\0MRM|....ftypcrx |" + _TIFF,
    ),
    _refused("PostScript", ".eps .ps .ai", _AS_PDF, rb"%!PS|\xc5\xd0\xd3\xc6"),
    _refused("Windows metafile", ".wmf .emf", _AS_IMAGE, rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF"),
    _refused("GIMP image", ".xcf", _AS_IMAGE, rb"gimp xcf "),
    _refused("Affinity document", ".afphoto .afdesign .afpub", _AS_IMAGE),
    _refused("CorelDRAW", ".cdr", _AS_PDF),
    _refused("InDesign", ".indd", _AS_PDF),
    _refused("AutoCAD drawing", ".dwg .dxf", _AS_PDF, rb"AC10[0-9][0-9]\0"),
    _refused("3D model", ".stl .fbx .glb .gltf .blend .step .stp", "render it as PNG"),
    _refused("OpenEXR", ".exr", _AS_IMAGE, rb"\x76\x2f\x31\x01"),
    _refused("Radiance HDR", ".hdr", _AS_IMAGE, rb"#\?RADIANCE"),
    _refused("FITS", ".fits .fit .fts", _AS_IMAGE, rb"SIMPLE  =  "),
    _refused("NIfTI", ".nii .nii.gz", "export its slices as PNG", rb".{344}n[i+]1|" + _GZIP),
    _refused("JPEG XR", ".jxr .wdp .hdp", _AS_IMAGE, rb"II\xbc"),
    _refused("DirectDraw surface", ".dds", _AS_IMAGE, rb"DDS \x7c\0\0\0"),
    _refused("Apple icon", ".icns", _AS_IMAGE, rb"icns\0"),
    _refused("QOI", ".qoi", _AS_IMAGE, rb"qoif"),
    _refused("PCX", ".pcx .dcx", _AS_IMAGE),
    _refused("SGI image", ".sgi .rgb .rgba .bw", _AS_IMAGE, rb"\x01\xda[\0\x01][\x01\x02]"),
    _refused("Sun raster", ".ras", _AS_IMAGE, rb"\x59\xa6\x6a\x95"),
    _refused("X bitmap or pixmap", ".xbm .xpm", _AS_IMAGE),
    _refused("FLIC animation", ".fli .flc", "export it as GIF or MP4"),
    _refused("Photo CD", ".pcd", _AS_IMAGE),
    _refused("game texture", ".blp .ftc .ftu .ktx .ktx2", _AS_IMAGE),
    _refused("font", ".ttf .otf .ttc .woff .woff2", "draw its letters as PNG or PDF"),
    _refused("BPG", ".bpg", _AS_IMAGE, rb"BPG\xfb"),
    # Archives
    _read("archive", "ZIP", ".zip", "application/zip", "Python", magic=_ZIP),
    _read("archive", "TAR", ".tar", "application/x-tar", "Python", magic=rb".{257}ustar"),
    _refused("gzip", ".gz", _UNPACK, _GZIP),
    _read("archive", "compressed TAR", ".tar.gz .tgz", "application/gzip", "Python", magic=_GZIP),
    _read("image", "compressed SVG", ".svgz", "image/svg+xml", "resvg", "svg", _GZIP),
    _refused("bzip2", ".bz2", _UNPACK, _BZIP2),
    _refused("xz", ".xz", _UNPACK, _XZ),
    _packed_tar("TAR in bzip2", ".tar.bz2 .tbz .tbz2", "application/x-bzip2", _BZIP2),
    _packed_tar("TAR in xz", ".tar.xz .txz", "application/x-xz", _XZ),
    _refused("Zstandard", ".zst .tzst", _UNPACK, rb"\x28\xb5\x2f\xfd"),
    _read("archive", "7-Zip", ".7z", "application/x-7z-compressed", "py7zr", magic=_SEVEN_ZIP),
    _refused("RAR", ".rar", _UNPACK, rb"Rar!\x1a\x07"),
    _refused("disk image", ".iso .dmg .vhd .vmdk", "mount it and ingest the folder"),
    _refused("Microsoft cabinet", ".cab", _UNPACK, rb"MSCF\0\0\0\0"),
    _refused("comic book archive", ".cbz .cbr .cb7", "convert it to PDF", _ZIP + rb"|Rar!|7z\xbc"),
    # Documents
    _read("pdf", "PDF", ".pdf", "application/pdf", "pypdfium2", magic=rb"\s*%PDF-"),
    _refused("Microsoft Office 97-2003", "", "save it in the current format or as PDF", _OLE),
    _document("Word", ".docx .docm .dotx", "wordprocessingml.document"),
    _document("PowerPoint", ".pptx .pptm .ppsx", "presentationml.presentation"),
    _document("Excel", ".xlsx .xlsm .xltx", "spreadsheetml.sheet"),
    _document("OpenDocument text", ".odt .ott", "text"),
    _document("OpenDocument spreadsheet", ".ods .ots", "spreadsheet"),
    _document("OpenDocument presentation", ".odp .otp", "presentation"),
    _document("OpenDocument drawing", ".odg", "graphics"),
    _read("document", "EPUB", ".epub", "application/epub+zip", "defusedxml", magic=_ZIP),
    _refused("Apple iWork", ".pages .numbers .key", _AS_PDF, _ZIP),
    _refused("drawing", ".kra .ora .sketch .procreate", _AS_IMAGE, _ZIP),
    _refused("Excel binary workbook", ".xlsb", _AS_CSV, _ZIP),
    _refused("XPS", ".xps .oxps", "convert it to PDF", _ZIP),
    _refused("Word 97-2003", ".doc .dot", "save it as .docx or PDF", _OLE),
    _refused("Excel 97-2003", ".xls", "save it as .xlsx or CSV", _OLE),
    _refused("PowerPoint 97-2003", ".ppt .pps", "save it as .pptx or PDF", _OLE),
    _refused("Publisher", ".pub", _AS_PDF, _OLE),
    _refused("Visio", ".vsd .vsdx", _AS_PDF, _OLE + rb"|" + _ZIP),
    _refused("Outlook message", ".msg", "save it as .eml", _OLE),
    _read("archive", "e-mail", ".eml", "message/rfc822", "Python"),
    _refused("subtitles in TTML or SBV", ".ttml .dfxp .sbv", "convert it to .srt or .vtt"),
    _refused("mailbox", ".mbox .pst .ost", "export its messages as .eml"),
    _refused("OneNote", ".one", _AS_PDF),
    _refused("Rich Text Format", ".rtf", "save it as .docx or PDF", rb"\{\\rtf1"),
    _refused("Kindle book", ".mobi .azw .azw3", "convert it to PDF or HTML"),
    _refused("FictionBook", ".fb2", "convert it to PDF or HTML"),
    _refused("DjVu", ".djvu .djv", "convert it to PDF", rb"AT&TFORM....DJV"),
    # Text and tables
    _read("text", "plain text", ".txt", "text/plain", "Python"),
    _read("text", "Markdown", ".md .markdown", "text/markdown", "Python"),
    _read("text", "HTML", ".html .htm", "text/html", "Beautiful Soup"),
    _read("text", "XHTML", ".xhtml", "application/xhtml+xml", "Beautiful Soup"),
    _read("rows", "CSV", ".csv", "text/csv", "Python"),
    _read("rows", "TSV", ".tsv", "text/tab-separated-values", "Python"),
    _read("rows", "JSON", ".json", "application/json", "Python"),
    _read("rows", "JSON Lines", ".jsonl .ndjson", "application/jsonl", "Python"),
    _refused("Parquet", ".parquet", _AS_ROWS, rb"PAR1"),
    _refused("Arrow", ".arrow .feather", _AS_ROWS, rb"ARROW1\0\0"),
    _refused("SQLite", ".sqlite .sqlite3 .db", "export its tables as CSV", rb"SQLite format 3\0"),
    _refused("Access", ".mdb .accdb", "export its tables as CSV", rb"\0\x01\0\0Standard "),
    # Video, audio and subtitles. `decoder` is a demuxer of FFmpeg: if FFmpeg guessed, it could take
    # a playlist for a video and open the files and URLs in it.
    _video("QuickTime", ".mov .qt", "video/quicktime", "mov", rb"....(?:ftypqt  |moov|wide)"),
    _video("3GP", ".3gp", "video/3gpp", "mov", rb"....ftyp3gp"),
    _video("3G2", ".3g2", "video/3gpp2", "mov", rb"....ftyp3g2"),
    _video("MP4", ".mp4 .m4v .f4v .insv .360 .lrv .lrf", "video/mp4", "mov", rb"....ftyp"),
    _video("WebM", ".webm", "video/webm", "matroska", _MATROSKA + rb".{0,60}webm"),
    _video("Matroska", ".mkv", "video/matroska", "matroska", _MATROSKA),
    _video("AVI", ".avi .divx", "video/x-msvideo", "avi", rb"RIFF....AVI "),
    _video(
        *("MPEG transport stream", ".ts .mts .m2ts .m2t .tod .tp .trp", "video/mp2t", "mpegts"),
        rb"(?:G.{187}){5}|(?:....G.{187}){5}",
    ),
    _video("MPEG", ".mpg .mpeg .vob .mod", "video/mpeg", "mpeg", rb"\0\0\x01[\xba\xb3]"),
    _video("Windows Media", ".wmv .asf", "video/x-ms-wmv", "asf", rb"0&\xb2u\x8ef\xcf\x11"),
    _video("Flash video", ".flv", "video/x-flv", "flv", rb"FLV\x01"),
    _video("Ogg video", ".ogv .ogm", "video/ogg", "ogg", rb"OggS"),
    _video("MXF", ".mxf", "application/mxf", "mxf", rb"\x06\x0e\+4\x02\x05\x01\x01"),
    _video("DV", ".dv", "video/x-dv", "dv"),
    _audio("MP3", ".mp3", "audio/mpeg", "mp3", rb"ID3|\xff[\xf2\xf3\xfa\xfb]"),
    _audio("MPEG-4 audio", ".m4a .m4b", "audio/mp4", "mov", rb"....ftypM4[AB] "),
    _audio("WAV", ".wav", "audio/wav", "wav", rb"RIFF....WAVE"),
    _audio("FLAC", ".flac", "audio/flac", "flac", rb"fLaC"),
    _audio("Ogg and Opus", ".ogg .oga .opus", "audio/ogg", "ogg", rb"OggS"),
    _audio("AAC", ".aac", "audio/aac", "aac", rb"\xff[\xf1\xf9]"),
    _audio("Windows Media audio", ".wma", "audio/x-ms-wma", "asf", rb"0&\xb2u\x8ef\xcf\x11"),
    _audio("AMR", ".amr", "audio/amr", "amr", rb"#!AMR"),
    _audio("AIFF", ".aif .aiff .aifc", "audio/aiff", "aiff", rb"FORM....AIF[FC]"),
    _audio("Core Audio", ".caf", "audio/x-caf", "caf", rb"caff"),
    _audio("Matroska audio", ".mka .weba", "audio/matroska", "matroska", _MATROSKA),
    _read("subtitles", "SubRip", ".srt", "application/x-subrip", "Python"),
    _read("subtitles", "WebVTT", ".vtt", "text/vtt", "Python"),
    _read("subtitles", "SubStation Alpha", ".ass .ssa", "text/x-ssa", "Python"),
)  # fmt: skip

_BY_SUFFIX = {suffix: each for each in FORMATS for suffix in each.suffixes}


def suffix_of(name: str) -> str:
    """Return the last suffix in lower case, with its dot."""
    return PurePosixPath(name.lower()).suffix


def format_of_name(name: str) -> FileFormat | None:
    """Return the format for the suffix of ``name``, such as ``.jpg`` or ``.tar.gz``."""
    double = "".join(PurePosixPath(name.lower()).suffixes[-2:])
    return _BY_SUFFIX.get(double) or _BY_SUFFIX.get(suffix_of(name))


def file_type_of(name: str) -> FileType:
    """Return the type for the suffix of ``name``; ``unknown`` files are still opened."""
    named = format_of_name(name)
    return "unknown" if named is None else named.kind


def is_stepwise(name: str) -> bool:
    """Return whether a file of this name can have many pages or frames."""
    named = format_of_name(name)
    return named is None or named.kind in _STEPWISE_TYPES or named.name in _STEPWISE_PICTURES


def format_of(name: str, head: bytes) -> FileFormat | None:
    """Return the format of a file that starts with the `HEAD_BYTES` bytes ``head``.

    The content decides: a PNG named ``a.jpg`` is a PNG. The name decides where the content can be
    of several formats, or of one without a mark, such as text. None if neither is known.
    """
    named = format_of_name(name)
    if named is not None and named.magic is not None and named.magic.match(head):
        return named
    found = next((each for each in FORMATS if each.magic and each.magic.match(head)), None)
    if found is None and named is not None and named.kind == "unsupported" and named.magic:
        return None  # something else with this suffix
    return found or named


def formats_of(kind: FileType) -> Iterator[FileFormat]:
    """Yield the formats of a kind, in the order of the table."""
    return (each for each in FORMATS if each.kind == kind)
