"""Proposes models for a kind of material, languages and a machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sightline.server.cli.setup.machine_check import Machine
from sightline.server.models.catalog import CATALOG, CatalogModel, GraphPrecision, find_model
from sightline.server.models.model_choice import BUILTIN_ENCODER, NO_RERANKER, SAME_AS_IMAGES
from sightline.server.models.store.model_store import installed_name

Material = Literal["photographs", "documents", "screenshots", "drawings", "video", "mixed"]
Part = Literal["encoder", "passages", "reranker"]

MATERIALS: Final[Mapping[Material, str]] = {
    "photographs": "pictures of a camera or phone",
    "documents": "PDFs, Office files, scans, receipts",
    "screenshots": "pictures of screens",
    "drawings": "drawings, charts, diagrams",
    "video": "videos and sound",
    "mixed": "several of these",
}
#: A query for the first search of each kind of material.
FIRST_QUERIES: Final[Mapping[Material, str]] = {
    "photographs": "people outdoors",
    "documents": "total amount",
    "screenshots": "settings",
    "drawings": "diagram with arrows",
    "video": "a car",
    "mixed": "people",
}
SETTINGS: Final[Mapping[Part, str]] = {
    "encoder": "encoder.model",
    "passages": "encoder.passage_model",
    "reranker": "reranker.model",
}
TITLES: Final[Mapping[Part, str]] = {
    "encoder": "Pictures",
    "passages": "Texts",
    "reranker": "Order of results",
}
_KINDS: Final = {"encoder": "image-text", "passages": "sentence", "reranker": "reranker"}
#: What needs no model.
NONE: Final[Mapping[Part, str]] = {
    "encoder": BUILTIN_ENCODER,
    "passages": SAME_AS_IMAGES,
    "reranker": NO_RERANKER,
}
_EFFECTS: Final[Mapping[str, str]] = {
    BUILTIN_ENCODER: (
        "knows drawn scenes only: words find photos by their captions and texts, not by what they "
        "show"
    ),
    SAME_AS_IMAGES: "texts are found by their words",
    NO_RERANKER: "results stay in the order of the search",
    "image-text": "words find what pictures show",
    "sentence": "texts are found by their meaning, too",
    "reranker": "the best results come first more often; a search takes longer",
}
#: Of the memory of the machine; the rest is for Postgres and the workers of an ingest.
_MEMORY_SHARE: Final = 0.5
_LARGE_GPU_MIB: Final = 12_000
_SMALL_GPU_MIB: Final = 6_000
_MANY_CORES: Final = 8
_VISUAL: Final = frozenset({"photographs", "screenshots", "drawings", "video", "mixed"})
_TEXTUAL: Final = frozenset({"documents", "screenshots", "mixed"})
_PRECISIONS: Final[tuple[GraphPrecision, ...]] = ("fp32", "fp16", "int8")
_OFFERED_PRECISIONS: Final[tuple[GraphPrecision, ...]] = ("fp32", "int8")


@dataclass(frozen=True, slots=True)
class ModelOption:
    """A model for a part, by the value of its setting; ``model`` is None for none."""

    part: Part
    name: str
    model: CatalogModel | None
    precision: GraphPrecision = "fp32"

    @property
    def effect(self) -> str:
        effect = _EFFECTS.get(self.name)
        return effect or (_EFFECTS[_KINDS[self.part]] if self.model else "as it is set now")

    @property
    def disk_mib(self) -> int:
        return 0 if self.model is None else self.model.disk_mib(self.precision)

    @property
    def memory_mib(self) -> int:
        return 0 if self.model is None else self.model.memory_mib(self.precision)

    @property
    def license(self) -> str:
        if self.model is not None:
            return self.model.license
        return "Apache-2.0" if self.name == NONE[self.part] else "unknown"

    def describe(self) -> str:
        """Return size, license, languages and effect in one line."""
        if self.model is None:
            return f"no download; {self.effect}"
        return (
            f"{self.disk_mib:,} MiB, {self.license}, languages: {self.model.languages}; "
            f"{self.effect}"
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "setting": SETTINGS[self.part],
            "name": self.name,
            "disk_mib": self.disk_mib,
            "memory_mib": self.memory_mib,
            "license": self.license,
            "languages": None if self.model is None else self.model.languages,
            "effect": self.effect,
        }


def option_of(part: Part, name: str) -> ModelOption:
    """Return the option for a value of a setting, also one that is not in the catalog."""
    for precision in _PRECISIONS:
        base = name if precision == "fp32" else name.removesuffix(f"-{precision}")
        model = find_model(base)
        if model is not None and installed_name(base, precision) == installed_name(name):
            return ModelOption(part, name, model, precision)
    return ModelOption(part, name, None)


def options(part: Part, machine: Machine) -> list[ModelOption]:
    """Return what can be chosen on this machine, smallest first.

    The first needs no model, the others are of the catalog. A model that does not fit into the
    memory is offered in int8 if that fits.
    """
    found = [ModelOption(part, NONE[part], None)]
    for model in sorted(CATALOG, key=lambda each: each.parameters_millions):
        if model.kind != _KINDS[part]:
            continue
        fitting = (each for each in _OFFERED_PRECISIONS if _fits(model, each, machine))
        precision = next(fitting, None)
        if precision is not None:
            found.append(ModelOption(part, installed_name(model.name, precision), model, precision))
    return found


def propose(
    materials: Collection[Material],
    languages: Collection[str],
    machine: Machine,
    *,
    available: Collection[str] | None = None,
) -> dict[Part, ModelOption]:
    """Return a model for each part; without a hub, only of those ``available``."""
    preferred: dict[Part, Sequence[str]] = {
        "encoder": _encoders(materials, languages, machine),
        "passages": _sentence_encoders(materials, machine),
        "reranker": _rerankers(materials, languages, machine),
    }
    return {part: _first(part, names, machine, available) for part, names in preferred.items()}


def _encoders(
    materials: Collection[Material], languages: Collection[str], machine: Machine
) -> Sequence[str]:
    if not _VISUAL & set(materials):
        return ()
    gpu_mib = machine.gpu.memory_mib if machine.gpu is not None and machine.gpu.is_usable else 0
    names = ["siglip2-base", *(["clip-vit-b-32"] if set(languages) <= {"en"} else [])]
    if gpu_mib >= _SMALL_GPU_MIB or machine.cores >= _MANY_CORES:
        names.insert(0, "siglip2-large")
    if gpu_mib >= _LARGE_GPU_MIB:
        names.insert(0, "siglip2-so400m")
    return names


def _sentence_encoders(materials: Collection[Material], machine: Machine) -> Sequence[str]:
    if not _TEXTUAL & set(materials):
        return ()
    return ["bge-m3", "multilingual-e5-small"] if machine.is_fast else ["multilingual-e5-small"]


def _rerankers(
    materials: Collection[Material], languages: Collection[str], machine: Machine
) -> Sequence[str]:
    if not _TEXTUAL & set(materials):
        return ()
    if set(languages) <= {"en"}:
        return ["ms-marco-minilm"]
    return ["bge-reranker-v2-m3"] if machine.is_fast else []


def _first(
    part: Part, names: Sequence[str], machine: Machine, available: Collection[str] | None
) -> ModelOption:
    """Return the first that fits and is there, in full precision if possible."""
    fitting = options(part, machine)
    for name in names:
        for each in fitting:
            is_it = each.model is not None and each.model.name == name
            if is_it and (available is None or each.name in available):
                return each
    if available is not None:  # another encoder of this kind is better than none
        for each in fitting[1:]:
            if each.name in available and names:
                return each
    return fitting[0]


def _fits(model: CatalogModel, precision: GraphPrecision, machine: Machine) -> bool:
    return (
        model.memory_mib(precision) <= machine.memory_mib * _MEMORY_SHARE
        and model.disk_mib(precision) <= machine.disk_mib
    )
