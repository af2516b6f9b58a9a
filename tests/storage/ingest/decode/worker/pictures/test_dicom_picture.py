"""DICOM: windows, frames, and no data of patients."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.dicom_files import dicom
from tests.support.picture_files import (
    SIZE,
    color_at,
    decode_file,
    every_view,
    images_of,
    shows_three_colors,
    three_colors,
    thumbnail_of,
    warnings_of,
)


def ramp(low: float, high: float, kind: type = np.int16) -> NDArray[Any]:
    return np.tile(np.linspace(low, high, 96), (64, 1)).astype(kind)


def grays(data: bytes) -> list[int]:
    view = every_view("scan.dcm", data)[-1]
    return [color_at(view, x, 0.5)[0] for x in (0.02, 0.25, 0.5, 0.75, 0.98)]


def test_the_window_is_applied_after_the_slope() -> None:
    window = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 0, "WindowWidth": 1000}
    black, dark, gray, bright, white = grays(dicom(ramp(0, 1000), window))  # -1000 to 1000
    assert (black, white) == (0, 255)
    assert dark < 12
    assert abs(gray - 128) < 12
    assert bright > 243


def test_without_a_window_the_used_range_is_shown() -> None:
    black, dark, gray, bright, white = grays(dicom(ramp(-30, 50)))
    assert black < 12
    assert white > 243
    assert abs(gray - 128) < 12
    assert dark < gray < bright


def test_the_first_of_several_windows_is_taken() -> None:
    data = dicom(ramp(0, 100), {"WindowCenter": [50, 500], "WindowWidth": [100, 10]})
    assert abs(grays(data)[2] - 128) < 12


def test_inverted_gray_is_shown_as_on_film() -> None:
    values = grays(dicom(ramp(0, 4095, np.uint16), {"PhotometricInterpretation": "MONOCHROME1"}))
    assert values[0] > 240
    assert values[-1] < 15


def test_colors_are_kept() -> None:
    data = dicom(np.asarray(three_colors()))
    assert all(shows_three_colors(view) for view in every_view("scan.dcm", data))
    assert all(shows_three_colors(view) for view in every_view("no suffix", data))


def test_slices_are_pages_and_a_film_has_frames() -> None:
    volume = np.stack([ramp(0, 200, np.uint8)] * 3)
    pages = images_of(decode_file("scan.dcm", dicom(volume, frames=3)))
    assert [(part.kind, part.page) for part in pages] == [("page", 1), ("page", 2), ("page", 3)]
    assert (pages[0].width, pages[0].height) == SIZE
    film = images_of(decode_file("scan.dcm", dicom(volume, {"FrameTime": "250"}, 3)))
    assert [(part.kind, part.frame_seconds) for part in film] == [
        ("frame", 0.0),
        ("frame", 0.25),
        ("frame", 0.5),
    ]


def test_a_film_of_very_many_frames_is_sampled() -> None:
    volume = np.zeros((500, 2, 2), np.uint8)
    parts = decode_file("a.dcm", dicom(volume, {"FrameTime": "40"}, 500))
    assert len(images_of(parts)) <= IngestOptions().max_video_frames
    assert [each.code for each in warnings_of(parts)] == ["document_cut_short"]


PATIENT = {
    "PatientName": "Overbeek^Wilhelmina",
    "PatientID": "4711-x",
    "PatientBirthDate": "19500102",
    "StudyDate": "20240503",
    "StudyTime": "101112",
    "StudyDescription": "Knee of Mrs Overbeek",
    "Modality": "CT",
    "BodyPartExamined": "KNEE",
    "Manufacturer": "Maker",
}


def test_data_of_patients_are_not_kept() -> None:
    info = decode_file("scan.dcm", dicom(ramp(0, 100), PATIENT))[-1]
    assert isinstance(info, messages.SourceInfo)
    assert info.embedded.keywords == ("CT", "KNEE")
    assert info.embedded.camera == "Maker"
    shown = repr(info)
    for private in ("Overbeek", "4711", "1950", "2024", "Mrs"):
        assert private not in shown


def test_data_of_patients_are_kept_on_request() -> None:
    options = IngestOptions(keep_patients=True)
    info = decode_file("scan.dcm", dicom(ramp(0, 100), PATIENT), options)[-1]
    assert isinstance(info, messages.SourceInfo)
    assert "Overbeek Wilhelmina" in str(info.embedded.description)
    assert info.embedded.times[0].value == "2024-05-03T10:11:12"


def test_a_truncated_file_shows_what_is_there() -> None:
    data = dicom(ramp(0, 100))
    parts = decode_file("scan.dcm", data[: len(data) - 4000])
    (part,) = images_of(parts)
    assert color_at(thumbnail_of(part), 0.9, 0.1)[0] > 200
    assert [each.code for each in warnings_of(parts)] == ["picture_truncated"]


@pytest.mark.parametrize(
    "tags",
    [
        {"Rows": 65535, "Columns": 65535},
        {"Rows": 0},
        {"NumberOfFrames": 2_000_000_000},
        {"SamplesPerPixel": 60_000},
        {"BitsAllocated": 64_000},
    ],
)
def test_lying_sizes_are_refused_before_memory_is_taken(tags: dict[str, int]) -> None:
    data = dicom(ramp(0, 100))
    dataset = pydicom.dcmread(io.BytesIO(data))
    for name, value in tags.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    dataset.save_as(file)
    with pytest.raises(MediaError):
        decode_file("scan.dcm", file.getvalue())


def test_more_frames_than_bytes_are_left_out() -> None:
    volume = np.stack([ramp(0, 200, np.uint8)] * 2)
    parts = decode_file("scan.dcm", dicom(volume, frames=100_000))
    assert len(images_of(parts)) == 2
    assert [each.code for each in warnings_of(parts)] == ["picture_truncated"]


def test_compression_that_is_not_read_is_refused_by_name() -> None:
    data = dicom(ramp(0, 100))
    deflated = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    with pytest.raises(MediaError, match="deflated DICOM") as caught:
        decode_file("scan.dcm", deflated)
    assert caught.value.code == "unsupported"
    with pytest.raises(MediaError, match="DICOM"):
        decode_file("scan.dcm", b"no DICOM at all")
