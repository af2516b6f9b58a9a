import io
import math
import zlib
from pathlib import Path

import brotli
import pytest
from PIL import Image

from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_DESCRIPTION_CHARS,
    MAX_KEYWORDS,
    NO_METADATA,
    EmbeddedMetadata,
    NamedRegion,
    TimeTag,
)
from sightline.storage.ingest.metadata.picture_metadata import read_picture_metadata
from sightline.storage.ingest.metadata.xmp_packet import MAX_XMP_BYTES, read_xmp
from tests.support.sample_images import encoded, jpeg, picture, png_chunk
from tests.support.sample_metadata import bag, exif_tags, face, gps_tags, iptc, with_iptc, xmp

CASES = Path(__file__).parents[3] / "data" / "cases"
DESCRIPTION, MAKE, MODEL, CHANGED = 0x010E, 0x010F, 0x0110, 0x0132
TAKEN, DIGITIZED, OFFSET, FRACTION, COMMENT = 0x9003, 0x9004, 0x9011, 0x9291, 0x9286


def read(data: bytes) -> EmbeddedMetadata:
    return read_picture_metadata(data, lambda: Image.open(io.BytesIO(data)))


def read_exif_of(
    main: dict[int, object] | None = None,
    shot: dict[int, object] | None = None,
    gps: dict[int, object] | None = None,
) -> EmbeddedMetadata:
    return read(encoded(picture(1), exif=exif_tags(main, shot, gps)))


def test_exif_gives_description_camera_and_position() -> None:
    found = read_exif_of(
        {DESCRIPTION: "Ein Hügel".encode(), MAKE: "NIKON CORPORATION",
         MODEL: "NIKON D70", 0x4746: 4},
        {0xA434: "18-70mm"},
        gps_tags(-33.8568, 151.2153),
    )  # fmt: skip
    assert found.description == "Ein Hügel"
    assert (found.camera, found.lens, found.rating) == ("NIKON D70", "18-70mm", 4)
    assert found.position == pytest.approx((-33.8568, 151.2153), abs=1e-5)


@pytest.mark.parametrize("endian", ["utf-16-le", "utf-16-be"])
def test_comments_and_tags_of_windows_are_read(endian: str) -> None:
    found = read_exif_of(
        {0x9C9B: "Öl".encode("utf-16-le"), 0x9C9E: "sea;sand\0".encode("utf-16-le")},
        {COMMENT: b"UNICODE\0" + "a red door".encode(endian)},
    )
    assert (found.title, found.keywords) == ("Öl", ("sea", "sand"))
    assert found.description == "a red door"


@pytest.mark.parametrize("text", ["OLYMPUS DIGITAL CAMERA         ", "SONY DSC", "hdr"])
def test_what_a_camera_writes_into_every_picture_is_no_description(text: str) -> None:
    assert read_exif_of({DESCRIPTION: text}).description is None


def test_times_are_sorted_by_what_they_mean() -> None:
    found = read_exif_of(
        {CHANGED: "2024:06:01 10:00:00"},
        {DIGITIZED: "2024:05:04 10:00:00", TAKEN: "2024:05:03 17:22:10", OFFSET: "+02:00",
         FRACTION: "25"},
        {29: "2024:05:03"},
    )  # fmt: skip
    assert found.times == (
        TimeTag("2024:05:03 17:22:10.25", "original", "+02:00"),
        TimeTag("2024:05:04 10:00:00", "digitized"),
        TimeTag("2024:06:01 10:00:00", "modified"),
        TimeTag("2024:05:03", "day"),
    )


def test_the_time_of_the_satellites_tells_the_zone_of_the_clock() -> None:
    gps = gps_tags(35.68, 139.69, utc="2024:05:03 08:22:09")
    found = read_exif_of(None, {TAKEN: "2024:05:03 17:22:10"}, gps)
    assert found.times == (
        TimeTag("2024:05:03 17:22:10", "original", "+09:00"),
        TimeTag("2024:05:03 08:22:09", "satellites", is_utc=True),
    )
    far_off = read_exif_of(None, {TAKEN: "2024:05:03 17:31:40"}, gps)
    assert far_off.times[0].offset is None


def test_a_photo_manager_and_the_ingest_show_the_same_date() -> None:
    """The file is a test file of a photo manager: it has six dates of other meanings."""
    found = read((CASES / "date-priority-test.jpg").read_bytes())
    assert found.times[0] == TimeTag("2023:02:02 02:00:00", "original")
    assert [each.value[5:7] for each in found.times] == ["02", "04", "05", "08", "10"]


@pytest.mark.parametrize(
    ("records", "utf8", "words"),
    [
        ("Größe".encode("cp1252"), False, "Größe"),
        ("Größe".encode(), True, "Größe"),
        ("大小".encode(), False, "大小"),
    ],
)
def test_iptc_is_read_in_common_encodings(records: bytes, utf8: bool, words: str) -> None:
    data = with_iptc(
        jpeg(1),
        iptc(
            [(5, b"A door"), (25, records), (25, b"door"), (120, records), (90, b"Paris"),
             (101, b"France"), (55, b"19540601"), (60, b"172210+0200")],
            utf8=utf8,
        ),
    )  # fmt: skip
    found = read(data)
    assert (found.title, found.description) == ("A door", words)
    assert found.keywords == (words, "door")
    assert found.place == ("Paris", "France")
    assert found.times == (TimeTag("1954-06-01T17:22:10", "created", "+02:00"),)


PACKET = xmp(
    'xmp:Rating="4" photoshop:City="Kyoto" exif:GPSLatitude="35,0.5N" exif:GPSLongitude="135,46E"',
    bag("dc:title", ["A door"], "Alt")
    + bag("dc:description", ["red &amp; old"], "Alt")
    + bag("dc:subject", ["door"])
    + bag("lr:hierarchicalSubject", ["things|door", "things|lamp"])
    + bag("Iptc4xmpExt:PersonInImage", ["Ada", "Grace"])
    + face("Ada", 0.5, 0.25, 0.2, 0.1),
)
ADA = (0.4, 0.2, 0.6, 0.3)
PACKET_PLACE = pytest.approx((35.00833, 135.76667), abs=1e-4)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_is_read_from_each_format(form: str) -> None:
    if form == "PNG":
        plain = encoded(picture(1), form)
        chunk = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET)
        data = plain[:-12] + chunk + plain[-12:]  # after the picture
    elif form == "TIFF":
        data = encoded(picture(1), form, tiffinfo={700: PACKET})
    else:
        data = encoded(picture(1), form, xmp=PACKET)
    found = read(data)
    assert (found.title, found.description, found.rating) == ("A door", "red & old", 4)
    assert found.keywords == ("door", "things", "lamp")
    assert found.people == (NamedRegion("Ada", ADA), NamedRegion("Grace"))
    assert found.place == ("Kyoto",)
    assert found.position == PACKET_PLACE


EXIF = exif_tags({MAKE: "Canon"}, None, gps_tags(35.0, 135.0))
JXL, JP2 = b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cjP  \r\n\x87\n"
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + kind + content


@pytest.mark.parametrize(
    "data",
    [
        JXL + box(b"Exif", bytes(4) + EXIF[6:]) + box(b"xml ", PACKET),
        JXL + box(b"Exif", EXIF[6:]) + box(b"brob", b"xml " + brotli.compress(PACKET)),
        JP2 + box(b"uuid", b"JpgTiffExif->JP2" + EXIF[6:]) + box(b"uuid", XMP_UUID + PACKET),
    ],
    ids=["JPEG XL", "JPEG XL by other writers, compressed", "JPEG 2000"],
)
def test_boxes_of_jpeg_xl_and_jpeg_2000_are_read(data: bytes) -> None:
    found = read(data)
    assert (found.title, found.camera, found.position) == ("A door", "Canon", PACKET_PLACE)


def test_a_brotli_bomb_is_cut() -> None:
    bomb = box(b"brob", b"xml " + brotli.compress(bytes(200_000_000), quality=1))
    assert read(JXL + bomb) == NO_METADATA


def test_exif_of_tiff_and_of_raw_files_is_read() -> None:
    """Camera raw files are TIFFs of another kind."""
    for data in (encoded(picture(1), "TIFF", exif=EXIF), EXIF[6:] + b"pixels of a camera"):
        assert read(data).camera == "Canon"


def test_resources_of_photoshop_are_read() -> None:
    resource = b"8BIM" + (1060).to_bytes(2, "big") + b"\0\0"
    resource += len(PACKET).to_bytes(4, "big") + PACKET + bytes(len(PACKET) % 2)
    head = b"8BPS\0\1" + bytes(6) + b"\0\3" + (8).to_bytes(4, "big") * 2 + b"\0\x08\0\3"
    psd = head + bytes(4) + len(resource).to_bytes(4, "big") + resource + bytes(4) + bytes(300)
    assert read(psd).title == "A door"


def test_xmp_is_read_from_gif() -> None:
    gif = encoded(picture(1), "GIF")
    block = b"!\xff\x0bXMP DataXMP" + PACKET + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    assert read(gif[:-1] + block + b";").title == "A door"


@pytest.mark.parametrize(
    ("orientation", "box"),
    [(1, ADA), (3, (0.4, 0.7, 0.6, 0.8)), (6, (0.7, 0.4, 0.8, 0.6)), (8, (0.2, 0.4, 0.3, 0.6))],
)
def test_boxes_of_people_are_in_the_upright_picture(
    orientation: int, box: tuple[float, ...]
) -> None:
    data = encoded(picture(1), xmp=PACKET, exif=exif_tags({0x0112: orientation}))
    assert read(data).people[0].box == pytest.approx(box)


def test_regions_of_microsoft_are_read() -> None:
    region = (
        '<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag><rdf:li '
        'MPReg:PersonDisplayName="Ada" MPReg:Rectangle="0.4, 0.2, 0.2, 0.1"/></rdf:Bag>'
        "</MPRI:Regions></MP:RegionInfo>"
    )
    assert read_xmp(xmp("", region)).bounded().people == (NamedRegion("Ada", ADA),)


def test_all_keywords_count_and_xmp_wins_elsewhere() -> None:
    data = encoded(picture(1), xmp=PACKET, exif=exif_tags({DESCRIPTION: "old"}))
    found = read(with_iptc(data, iptc([(25, b"shed"), (120, b"older")])))
    assert found.description == "red & old"
    assert found.keywords == ("door", "things", "lamp", "shed")


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"Description\0a red door"),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a red door")),
        png_chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(b"a red door")),
    ],
)
def test_the_text_of_a_png_describes_it(chunk: bytes) -> None:
    plain = encoded(picture(1), "PNG")
    title = png_chunk(b"tEXt", b"Title\0A door")
    found = read(plain[:33] + title + plain[33:-12] + chunk + plain[-12:])
    assert (found.title, found.description) == ("A door", "a red door")


def test_hidden_characters_and_repeats_are_removed() -> None:
    packet = xmp("", bag("dc:subject", ["do\u202eor", "door ", "\u200b", "lamp"]))
    assert read_xmp(packet).bounded().keywords == ("door", "lamp")


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>'
)
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>'


@pytest.mark.parametrize(
    "packet",
    [BOMB, OUTSIDE, b"<r/>", b"<", b"\xff\xfe<", b"<?xml version='1.0' encoding='none'?><r/>",
     b" " * (MAX_XMP_BYTES + 1)],
)  # fmt: skip
def test_xmp_with_entities_or_of_another_form_is_refused(packet: bytes) -> None:
    with pytest.raises(ValueError, match="XMP"):
        read_xmp(packet)
    assert read(encoded(picture(1), "WEBP", xmp=packet)) == NO_METADATA


def test_huge_metadata_is_cut() -> None:
    words = [f"w{number}" for number in range(50_000)]
    packet = xmp("", bag("dc:subject", words) + bag("dc:description", ["x" * 2_000_000], "Alt"))
    deep = "<a>" * 100_000 + "</a>" * 100_000
    found = read(encoded(picture(1), "WEBP", xmp=packet))
    assert len(found.keywords) == MAX_KEYWORDS
    assert len(found.description or "") == MAX_DESCRIPTION_CHARS
    assert read_xmp(xmp('xmp:Rating="3"', deep)).rating == 3
    many = b"".join(iptc([(25, b"w%d" % number)]) for number in range(9_000))
    assert len(read(with_iptc(jpeg(1), many[:65_000])).keywords) == MAX_KEYWORDS


@pytest.mark.parametrize("position", [(math.nan, 0.0), (95.0, 0.0), (0.0, -181.0), (0.0, 0.0)])
def test_a_position_that_is_none_is_left_out(position: tuple[float, float]) -> None:
    assert EmbeddedMetadata(position=position).bounded() == NO_METADATA
    coordinates = f'exif:GPSLatitude="{position[0]}" exif:GPSLongitude="{position[1]}"'
    assert read_xmp(xmp(coordinates)).bounded().position is None


@pytest.mark.parametrize("seed", range(3))
def test_broken_blocks_are_left_out(seed: int) -> None:
    junk = b"Exif\0\0II*\0\x08\0\0\0" + bytes((seed * 37 + n * 91) % 256 for n in range(64))
    assert read(encoded(picture(1), exif=junk)).description is None
