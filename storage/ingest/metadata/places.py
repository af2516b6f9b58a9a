"""Find the names and the time zone of a position, without network."""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

_DATA = Path(__file__).parent / "data"
_EARTH_RADIUS_KM = 6371.0088
_KM_PER_DEGREE = 111.0
# A city of a million has a radius of 10 km.
_KM_PER_ROOT_OF_INHABITANTS = np.float32(0.01)
_MAX_CITY_KM = 50.0
_MAX_COUNTRY_KM = 150.0
_ISO6709_DEGREES = {5: 2, 7: 2, 6: 3, 8: 3}  # digits and sign: how many are degrees

Directions = NDArray[np.float32]
"""Unit vectors from the center of the earth, of shape (n, 3)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Names from the closest to the country, and the time zone; empty at sea."""

    names: tuple[str, ...] = ()
    zone: ZoneInfo | None = None


@dataclass(frozen=True, slots=True)
class PlaceFinder:
    r"""Knows the 155,000 places of GeoNames with 1,000 inhabitants or more.

    The places are sorted by ``latitudes``, in degrees. ``names`` are "city\nstate\ncountry code".
    """

    latitudes: NDArray[np.float64]
    directions: Directions
    radiuses_km: NDArray[np.float32]
    names: list[bytes]
    countries: dict[str, str]
    zone_directions: Directions
    zones: list[tuple[str, str]]

    @classmethod
    def load(cls) -> PlaceFinder:
        """Read the tables of places and of time zones in a second."""
        lines = lzma.decompress((_DATA / "places.tsv.xz").read_bytes()).decode().split("\n")
        rows = [line.split("\t") for line in lines]
        degrees = np.array([(float(row[0]), float(row[1])) for row in rows])
        countries = dict(
            line.split("\t") for line in (_DATA / "countries.tsv").read_text("utf-8").splitlines()
        )
        zone_degrees, zones = _zones()
        return cls(
            latitudes=degrees[:, 0].copy(),
            directions=_directions(degrees),
            radiuses_km=np.sqrt([int(row[2]) for row in rows]).astype(np.float32)
            * _KM_PER_ROOT_OF_INHABITANTS,
            names=[f"{city}\n{state}\n{code}".encode() for *_, code, state, city in rows],
            countries=countries,
            zone_directions=_directions(zone_degrees),
            zones=zones,
        )

    def find(self, position: tuple[float, float]) -> Place:
        """Return the place at (latitude, longitude) in degrees.

        Its names are the nearest place, the largest city around it, the state and the country.
        """
        band = _MAX_COUNTRY_KM / _KM_PER_DEGREE
        start, end = np.searchsorted(self.latitudes, (position[0] - band, position[0] + band))
        distances = _distances_km(self.directions[start:end], position)
        if not len(distances) or distances.min() > _MAX_COUNTRY_KM:
            return Place()
        nearest = int(distances.argmin())
        city, state, code = self.names[start + nearest].decode().split("\n")
        cities = [city] if distances[nearest] <= _MAX_CITY_KM else []
        around = np.where(distances <= self.radiuses_km[start:end], self.radiuses_km[start:end], 0)
        if around.max() > 0:
            cities.append(self.names[start + int(around.argmax())].decode().split("\n")[0])
        listed = (*cities, state, self.countries.get(code, code))
        return Place(
            tuple(dict.fromkeys(each for each in listed if each)), self._zone(code, position)
        )

    def _zone(self, country: str, position: tuple[float, float]) -> ZoneInfo | None:
        """Return the time zone of the nearest zone's city in the same country."""
        own = [number for number, zone in enumerate(self.zones) if zone[0] == country]
        if not own:
            return None
        nearest = int(_distances_km(self.zone_directions[own], position).argmin())
        try:
            return ZoneInfo(self.zones[own[nearest]][1])
        except (ZoneInfoNotFoundError, ValueError):
            return None


@cache
def place_finder() -> PlaceFinder:
    """Return the finder of this process; the first call reads its tables."""
    return PlaceFinder.load()


def _directions(degrees: NDArray[np.float64]) -> Directions:
    latitude, longitude = np.radians(degrees.reshape(-1, 2)).T
    level = np.cos(latitude)
    vectors = (level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude))
    return np.stack(vectors, axis=1).astype(np.float32)


def _distances_km(directions: Directions, position: tuple[float, float]) -> NDArray[np.float32]:
    """Return the distances from a position, along the surface."""
    chords = np.linalg.norm(directions - _directions(np.array([position]))[0], axis=1)
    distances: NDArray[np.float32] = 2 * _EARTH_RADIUS_KM * np.arcsin(np.minimum(1.0, chords / 2))
    return distances


def _zones() -> tuple[NDArray[np.float64], list[tuple[str, str]]]:
    """Return the positions of the cities of all time zones, and (country, zone)."""
    degrees: list[tuple[float, float]] = []
    zones: list[tuple[str, str]] = []
    for line in _zone_table().splitlines():
        if line and not line.startswith("#"):
            code, place, name = line.split("\t")[:3]
            sign = max(place.rfind("+"), place.rfind("-"))
            degrees.append((_angle(place[:sign]), _angle(place[sign:])))
            zones.append((code, name))
    return np.array(degrees), zones


def _zone_table() -> str:
    """Return the table of the system, or that of the package tzdata."""
    for folder in TZPATH:
        if (path := Path(folder, "zone.tab")).is_file():
            return path.read_text("utf-8")
    try:
        return (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8")
    except (ModuleNotFoundError, OSError):
        return ""


def _angle(text: str) -> float:
    """Return the degrees of "+4852" or "-0743500"."""
    split = 1 + _ISO6709_DEGREES[len(text)]
    whole, rest = text[1:split], text[split:]
    degrees = int(whole) + int(rest[:2]) / 60 + int(rest[2:] or 0) / 3600
    return -degrees if text[0] == "-" else degrees
