import pytest

from sightline.storage.ingest.metadata.places import Place, place_finder


@pytest.mark.parametrize(
    ("position", "names", "zone"),
    [
        ((48.8583, 2.2945), ("Paris", "Île-de-France", "France"), "Europe/Paris"),
        ((35.6586, 139.7454), ("Tokyo", "Japan"), "Asia/Tokyo"),
        ((40.75, -73.98), ("New York City", "New York", "United States"), "America/New_York"),
        ((-17.8, 178.0), ("Fiji",), "Pacific/Fiji"),
    ],
)
def test_a_position_has_the_names_and_the_zone_of_its_place(
    position: tuple[float, float], names: tuple[str, ...], zone: str
) -> None:
    place = place_finder().find(position)
    assert place.names[-len(names) :] == names
    assert place.zone is not None
    assert place.zone.key == zone


@pytest.mark.parametrize("position", [(0.0, -150.0), (-90.0, 0.0), (89.9, 180.0)])
def test_far_from_any_place_there_is_none(position: tuple[float, float]) -> None:
    assert place_finder().find(position) == Place()
