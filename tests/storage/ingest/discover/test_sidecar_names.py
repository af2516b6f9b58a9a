import pytest

from sightline.storage.ingest.discover.sidecar_names import files_of, sidecars_of

META = ".supplemental-metadata.json"


@pytest.mark.parametrize(
    ("name", "sidecar"),
    [
        ("a.jpg", "a.jpg.xmp"),
        ("a.jpg", "a.xmp"),
        ("a.JPG", "a.XMP"),
        ("sub/a.jpg", "sub/a.xmp"),
        ("a.pdf", "a.json"),
        ("a.pdf", "a.pdf.txt"),
        ("a.csv", "a.csv.json"),
        ("a.mp4", "a.mp4.xmp"),
        ("a.jpg", f"a.jpg{META}"),
        ("a.jpg", "a.jpg.supplemental-meta.json"),
        ("a.jpg", "a.jpg.s.json"),
        ("sub/a.jpg", f"sub/a.jpg{META}"),
        ("PXL_20240503_152210123.MP.jpg", "PXL_20240503_152210123.MP.jpg.supplemental-met.json"),
        ("x" * 50 + ".jpg", "x" * 46 + ".json"),
        ("a(1).jpg", "a.jpg.supplemental-metadata(1).json"),
        ("a(1).jpg", "a.jpg.supplemental-meta(1).json"),
        ("a(1).jpg", "a.jpg(1).json"),
        ("a(1).jpg", f"a(1).jpg{META}"),
        ("a-edited.jpg", f"a.jpg{META}"),
        ("a-edited(1).jpg", "a.jpg.supplemental-metadata(1).json"),
        ("a-bearbeitet.jpg", "a.jpg.json"),
        ("a.mp4", f"a.mp4{META}"),
    ],
)
def test_a_file_has_this_sidecar(name: str, sidecar: str) -> None:
    assert sidecars_of([name, sidecar]) == {name: [sidecar]}
    assert [each.path for each in files_of([name, sidecar])] == [name]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("a.pdf", "a.txt"),
        ("a.csv", "a.json"),
        ("a.jpg", "b.xmp"),
        ("a(1).jpg", f"a.jpg{META}"),
        ("a.jpg", "a.jpg.supplemental-metadata(1).json"),
        ("a.jpg", "a.jpg.other.json"),
        ("ab.jpg", f"a.jpg{META}"),
        ("a.zip", "a.json"),
    ],
)
def test_a_file_of_another_name_is_no_sidecar(name: str, other: str) -> None:
    assert sidecars_of([name, other]) == {}


def test_the_video_of_a_live_photo_has_the_sidecar_of_its_picture() -> None:
    names = ["a.heic", f"a.heic{META}", "a.mp4"]
    assert sidecars_of(names) == {"a.heic": [names[1]], "a.mp4": [names[1]]}


def test_the_closest_sidecar_is_first() -> None:
    names = ["a.jpg", "a.xmp", f"a.jpg{META}", "a.json", "a.txt", "a.jpg.txt"]
    found = sidecars_of(names)["a.jpg"]
    assert found == ["a.jpg.txt", "a.txt", "a.json", "a.xmp", f"a.jpg{META}"]


@pytest.mark.timeout(20)  # it took the square of their number: minutes
def test_very_many_videos_find_their_subtitles() -> None:
    stems = [f"{number:06}" for number in range(40_000)]
    names = [f"{stem}{suffix}" for stem in stems for suffix in (".mp4", ".en.srt", ".srt")]
    found = sidecars_of(names)
    assert found["000007.mp4"] == ["000007.en.srt", "000007.srt"]
    assert len(found) == len(stems)
