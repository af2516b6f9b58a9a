"""Read DICOM: frames with their window; data of patients only on request."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.pictures.open_picture import check_size
from sightline.storage.ingest.metadata.embedded_metadata import EmbeddedMetadata, TimeTag

_MAX_FRAMES = 1 << 20
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_HEADER_BYTES = 64 << 10
_MAX_TEXT_CHARS = 500
_PERCENTILES = (0.5, 99.5)  # of the values, where the file has no window
_SAMPLED = 1 << 18
_EXPORT = "export it uncompressed, or as PNG"
# Data of the image that say nothing about the patient.
_KEYWORDS = ("Modality", "BodyPartExamined", "Laterality", "ViewPosition")
_CAMERA = ("Manufacturer", "ManufacturerModelName")
_PATIENT = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("StudyDescription", "SeriesDescription", "InstitutionName", "ReferringPhysicianName"),
    "AccessionNumber",
)

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A DICOM file with its frames; ``frame_seconds`` is between two of them."""

    dataset: Any
    frame_count: int
    frame_seconds: float | None
    is_truncated: bool = False

    def frame(self, index: int) -> Image.Image:
        """Return a frame as it is shown: gray with its window, or RGB. Raises MediaError."""
        try:
            return self._frame(index)
        except (MediaError, MemoryError):
            raise
        except Exception as error:  # pydicom raises anything on hostile files
            syntax = self.dataset.file_meta.TransferSyntaxUID.name
            if "missing dependenc" in str(error) or "does not support" in str(error):
                reason = f"is DICOM with {syntax}, which is not read; {_EXPORT}"
                raise MediaError("unsupported", reason) from error
            raise MediaError("broken", f"cannot be decoded: {error}"[:300]) from error

    def _frame(self, index: int) -> Image.Image:
        from pydicom.pixels.processing import apply_color_lut
        from pydicom.pixels.utils import pixel_array

        dataset = self.dataset
        values = pixel_array(dataset, index=index)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            values = apply_color_lut(values, dataset)
        if values.ndim == 3:
            if int(values.max()) > 255:
                values = values >> (8 * values.dtype.itemsize - 8)
            return Image.fromarray(np.ascontiguousarray(values[..., :3]).astype(np.uint8))
        return Image.fromarray(self._windowed(values, index))

    def metadata(self, *, keep_patients: bool) -> EmbeddedMetadata:
        """Return what the file says; names, dates and free texts only on request."""
        keywords = tuple(filter(None, (self._text(name) for name in _KEYWORDS)))
        camera = " ".join(filter(None, (self._text(name) for name in _CAMERA)))
        found = EmbeddedMetadata(keywords=keywords, camera=camera or None)
        if not keep_patients:
            return found
        texts = ((name, self._text(name)) for name in _PATIENT)
        description = "\n".join(f"{name}: {text}" for name, text in texts if text)
        return replace(found, description=description or None, times=tuple(self._times()))

    def _times(self) -> Iterator[TimeTag]:
        for kind in ("Acquisition", "Content", "Study"):
            day, time = self._text(f"{kind}Date"), self._text(f"{kind}Time").ljust(6, "0")
            if len(day) == 8 and day.isdecimal() and time[:6].isdecimal():
                text = f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:6]}"
                yield TimeTag(text)
                return

    def _text(self, name: str) -> str:
        return str(self.dataset.get(name, "") or "")[:_MAX_TEXT_CHARS].replace("^", " ").strip()

    def _windowed(self, values: Values, index: int) -> NDArray[np.uint8]:
        from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

        dataset = self.dataset
        padding = _number(dataset.get("PixelPaddingValue"))
        is_padding = None if padding is None else values == padding
        if (slope := self._shared(index, "PixelValueTransformation", "RescaleSlope")) is not None:
            offset = self._shared(index, "PixelValueTransformation", "RescaleIntercept") or 0.0
            shown = values.astype(np.float32) * slope + offset
        else:
            shown = np.asarray(apply_modality_lut(values, dataset), np.float32)
        center = self._shared(index, "FrameVOILUT", "WindowCenter")
        width = self._shared(index, "FrameVOILUT", "WindowWidth")
        if center is not None and width is not None and width >= 1:
            low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
        else:
            if dataset.get("VOILUTSequence"):
                shown = np.asarray(apply_voi_lut(shown.astype(values.dtype), dataset), np.float32)
            low, high = _used_range(shown if is_padding is None else shown[~is_padding])
        gray = np.clip((shown - low) * (255 / max(high - low, 1e-6)), 0, 255)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            gray = 255 - gray
        if is_padding is not None:
            gray[is_padding] = 0
        shade: NDArray[np.uint8] = np.nan_to_num(gray).round().astype(np.uint8)
        return shade

    def _shared(self, index: int, group: str, name: str) -> float | None:
        """Return a number of a frame, of all frames, or of the file."""
        groups = self.dataset.get("PerFrameFunctionalGroupsSequence") or []
        places = [*groups[index : index + 1]]
        places += [*(self.dataset.get("SharedFunctionalGroupsSequence") or [])[:1]]
        for place in places:
            for each in (place.get(f"{group}Sequence") or [])[:1]:
                if (value := _number(each.get(name))) is not None:
                    return value
        return _number(self.dataset.get(name))


def read_dicom(data: bytes, max_pixels: int) -> DicomFile:
    """Read the header and check the sizes. Raises MediaError."""
    import pydicom

    if _DEFLATED in data[:_HEADER_BYTES]:  # it would be inflated without a limit
        raise MediaError("unsupported", f"is deflated DICOM, which is not read; {_EXPORT}")
    try:
        dataset: Any = pydicom.dcmread(io.BytesIO(data), force=True)
        if "PixelData" not in dataset:
            raise MediaError("not_an_image", "is DICOM without a picture that can be read")
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        samples, bits = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
        count = int(dataset.get("NumberOfFrames") or 1)
    except (MediaError, MemoryError):
        raise
    except Exception as error:  # pydicom raises anything on hostile files
        raise MediaError("broken", f"is not DICOM that can be read: {error}"[:500]) from error
    is_truncated = False
    if rows < 1 or columns < 1 or samples not in (1, 3) or not 1 <= count <= _MAX_FRAMES:
        raise MediaError("broken", f"has {count} frames of {columns} x {rows} x {samples}")
    check_size((columns, rows), max_pixels)
    if "TransferSyntaxUID" not in dataset.file_meta:
        little = dataset.original_encoding[1] is not False
        implicit = dataset.original_encoding[0] is not False
        dataset.file_meta.TransferSyntaxUID = _syntax(little=little, implicit=implicit)
    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        if dataset.PhotometricInterpretation == "YBR_FULL_422":
            samples = 2
        frame_bytes = max(1, math.ceil(rows * columns * samples * bits / 8))
        available = len(dataset.PixelData) // frame_bytes
        if available == 0:  # decode what is there
            dataset.PixelData += bytes(frame_bytes - len(dataset.PixelData))
        is_truncated, count = available < count, min(count, max(1, available))
        dataset.NumberOfFrames = count
    return DicomFile(dataset, count, _frame_seconds(dataset), is_truncated)


def _syntax(*, little: bool, implicit: bool) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _frame_seconds(dataset: Any) -> float | None:
    milliseconds = _number(dataset.get("FrameTime"))
    if milliseconds is not None and milliseconds > 0:
        return milliseconds / 1000
    rate = _number(dataset.get("CineRate") or dataset.get("RecommendedDisplayFrameRate"))
    return 1 / rate if rate is not None and rate > 0 else None


def _number(value: Any) -> float | None:
    """Return a number, or the first of several."""
    if value is None or value == "":
        return None
    try:
        first = value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value
        number = float(first)
    except (TypeError, ValueError, IndexError):
        return None
    return number if math.isfinite(number) else None


def _used_range(values: Values) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    sample = finite[:: max(1, finite.size // _SAMPLED)]
    low, high = (float(each) for each in np.percentile(sample, _PERCENTILES))
    return (low, high) if high > low else (float(finite.min()), float(finite.max()))
