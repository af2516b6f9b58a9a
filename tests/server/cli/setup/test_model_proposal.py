"""Which models `sightline setup` proposes for material, languages and machines."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sightline.server.cli.setup.machine_check import Gpu, Machine
from sightline.server.cli.setup.model_proposal import Material, option_of, options, propose

SMALL = Machine(cores=2, memory_mib=2_600, disk_mib=50_000, gpu=None)
LAPTOP = Machine(cores=4, memory_mib=16_000, disk_mib=50_000, gpu=None)
DESKTOP = Machine(cores=12, memory_mib=32_000, disk_mib=50_000, gpu=None)
SERVER = Machine(16, 64_000, 500_000, Gpu("a card", 24_000, is_usable=True))
NO_TORCH = Machine(4, 16_000, 500_000, Gpu("a card", 24_000, is_usable=False))
FULL_DISK = Machine(cores=4, memory_mib=16_000, disk_mib=100, gpu=None)


@pytest.mark.parametrize(
    ("material", "languages", "machine", "expected"),
    [
        ("photographs", ["de"], LAPTOP, ("siglip2-base", "encoder", "off")),
        ("photographs", ["en"], SMALL, ("siglip2-base-int8", "encoder", "off")),
        ("photographs", ["en"], DESKTOP, ("siglip2-large", "encoder", "off")),
        ("photographs", ["en"], SERVER, ("siglip2-so400m", "encoder", "off")),
        ("photographs", ["de"], NO_TORCH, ("siglip2-base", "encoder", "off")),
        ("photographs", ["en"], FULL_DISK, ("builtin", "encoder", "off")),
        ("documents", ["en"], LAPTOP, ("builtin", "multilingual-e5-small", "ms-marco-minilm")),
        ("documents", ["en", "de"], LAPTOP, ("builtin", "multilingual-e5-small", "off")),
        ("documents", ["de"], SERVER, ("builtin", "bge-m3", "bge-reranker-v2-m3")),
        ("mixed", ["zh"], LAPTOP, ("siglip2-base", "multilingual-e5-small", "off")),
        ("drawings", ["en"], LAPTOP, ("siglip2-base", "encoder", "off")),
        ("video", ["en"], LAPTOP, ("siglip2-base", "encoder", "off")),
    ],
)
def test_the_proposal_fits_material_languages_and_machine(
    material: Material, languages: Sequence[str], machine: Machine, expected: tuple[str, ...]
) -> None:
    proposed = propose([material], languages, machine)
    assert tuple(each.name for each in proposed.values()) == expected


def test_without_a_hub_only_models_of_this_machine_are_proposed() -> None:
    nothing = propose(["mixed"], ["en"], LAPTOP, available=[])
    assert [each.name for each in nothing.values()] == ["builtin", "encoder", "off"]
    there = ["clip-vit-b-16-of-mine", "chinese-clip-b-16", "ms-marco-minilm"]
    found = propose(["mixed"], ["de"], LAPTOP, available=there)
    assert found["encoder"].name == "chinese-clip-b-16"  # better than none
    assert found["passages"].name == "encoder"
    assert found["reranker"].name == "off"  # it reads English only


def test_a_choice_says_size_license_languages_and_effect() -> None:
    listed = {each.name: each for each in options("encoder", LAPTOP)}
    assert listed["builtin"].describe().startswith("no download; knows drawn scenes only")
    text = listed["mobileclip2-s2"].describe()
    assert text == (
        "378 MiB, Apple AMLR: research only, no commercial use, languages: English; words find "
        "what pictures show"
    )
    assert "siglip2-so400m-int8" not in listed
    assert "siglip2-large-int8" in {each.name for each in options("encoder", SMALL)}


def test_a_value_of_a_setting_is_found_in_the_catalog_with_its_precision() -> None:
    found = option_of("encoder", "siglip2-base-int8")
    assert found.model is not None
    assert (found.model.name, found.precision, found.disk_mib) == ("siglip2-base", "int8", 358)
    own = option_of("encoder", "local-dir:/models/mine")
    assert (own.model, own.effect) == (None, "as it is set now")
    assert (own.license, option_of("encoder", "builtin").license) == ("unknown", "Apache-2.0")
