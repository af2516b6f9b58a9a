"""The catalog: where models are, what they cost, and what they are good at.

Nothing here was compared with the hub: this list was written without access to it. Names of
repositories and files are those that public code uses. Sizes and memory follow from the number of
parameters. ``figure`` is a published result; ``is_confirmed`` says whether it was read again in the
named source while this list was written. `sightline models pull` takes what the repository has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

ModelKind = Literal["image-text", "sentence", "reranker"]
GraphPrecision = Literal["fp32", "fp16", "int8"]

_BYTES: Final[Mapping[GraphPrecision, int]] = {"fp32": 4, "fp16": 2, "int8": 1}
#: Of Python, ONNX Runtime and the tensors of a small batch.
_OTHER_MEMORY_MIB: Final = 300
_MIB: Final = 1 << 20

_CLIP_PAPER = "arXiv:2103.00020, table 11"
_SIGLIP2_PAPER = "arXiv:2502.14786, table 1"
_IMAGES = "ImageNet zero-shot {0}, COCO text-to-image R@1 {1}"


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model with ONNX files on the Hugging Face hub.

    ``original`` is the repository of its authors, ``repository`` the one with ONNX files,
    ``subfolder`` where they are in it. ``options`` complete the configuration in the repository:
    the pooling and the prompts of a sentence encoder, which many only describe in their text.
    """

    name: str
    kind: ModelKind
    repository: str
    original: str
    license: str
    languages: str
    parameters_millions: float
    figure: str
    source: str
    is_confirmed: bool = False
    subfolder: str = ""
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def disk_mib(self, precision: GraphPrecision = "fp32") -> int:
        """Return the estimated size of the weights."""
        return round(self.parameters_millions * 1e6 * _BYTES[precision] / _MIB)

    def memory_mib(self, precision: GraphPrecision = "fp32") -> int:
        """Return the estimated memory of a process that runs the model."""
        return self.disk_mib(precision) + _OTHER_MEMORY_MIB

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "repository": self.repository,
            "original": self.original,
            "license": self.license,
            "languages": self.languages,
            "parameters_millions": self.parameters_millions,
            "disk_mib": {each: self.disk_mib(each) for each in _BYTES},
            "memory_mib": {each: self.memory_mib(each) for each in _BYTES},
            "figure": self.figure,
            "source": self.source,
            "is_confirmed": self.is_confirmed,
            "note": self.note,
        }


CATALOG: Final = (
    CatalogModel(
        "siglip2-base",
        "image-text",
        "onnx-community/siglip2-base-patch16-256-ONNX",
        "google/siglip2-base-patch16-256",
        "Apache-2.0",
        "over 100",
        375,
        _IMAGES.format(79.1, 53.2),
        "model card of google/siglip2-base-patch16-256",
        is_confirmed=True,
        note="The first choice for photos on a CPU.",
    ),
    CatalogModel(
        "siglip2-large",
        "image-text",
        "onnx-community/siglip2-large-patch16-256-ONNX",
        "google/siglip2-large-patch16-256",
        "Apache-2.0",
        "over 100",
        882,
        _IMAGES.format(82.5, 54.7),
        _SIGLIP2_PAPER,
    ),
    CatalogModel(
        "siglip2-so400m",
        "image-text",
        "onnx-community/siglip2-so400m-patch14-384-ONNX",
        "google/siglip2-so400m-patch14-384",
        "Apache-2.0",
        "over 100",
        1136,
        _IMAGES.format(84.1, 55.8),
        _SIGLIP2_PAPER,
        note="Slow on a CPU: 729 patches for each picture.",
    ),
    CatalogModel(
        "mobileclip2-s2",
        "image-text",
        "plhery/mobileclip2-onnx",
        "apple/MobileCLIP2-S2",
        "Apple AMLR: research only, no commercial use",
        "English",
        99.1,
        "ImageNet zero-shot 77.2",
        "arXiv:2508.20691",
        subfolder="s2",
        note="The ONNX files are those of a person, not of Apple.",
    ),
    CatalogModel(
        "clip-vit-b-32",
        "image-text",
        "Xenova/clip-vit-base-patch32",
        "openai/clip-vit-base-patch32",
        "MIT",
        "English",
        151.3,
        "ImageNet zero-shot 63.2",
        _CLIP_PAPER,
        note="Fast: 49 patches for each picture.",
    ),
    CatalogModel(
        "clip-vit-l-14",
        "image-text",
        "Xenova/clip-vit-large-patch14",
        "openai/clip-vit-large-patch14",
        "MIT",
        "English",
        427.6,
        "ImageNet zero-shot 75.3",
        _CLIP_PAPER,
    ),
    CatalogModel(
        "chinese-clip-b-16",
        "image-text",
        "Xenova/chinese-clip-vit-base-patch16",
        "OFA-Sys/chinese-clip-vit-base-patch16",
        "Apache-2.0",
        "Chinese",
        188.3,
        "Flickr30K-CN text-to-image R@1 62.7, MUGE R@1 52.1",
        "Results.md of OFA-Sys/Chinese-CLIP",
        is_confirmed=True,
        note="Both towers are one graph: a query also computes an empty picture.",
    ),
    CatalogModel(
        "jina-clip-v1",
        "image-text",
        "jinaai/jina-clip-v1",
        "jinaai/jina-clip-v1",
        "Apache-2.0",
        "English",
        223,
        "Flickr30K text-to-image R@1 67.5, COCO 41.1",
        "model card of jinaai/jina-clip-v1",
        is_confirmed=True,
        note="Reads texts of up to 8,192 tokens.",
    ),
    CatalogModel(
        "multilingual-e5-small",
        "sentence",
        "Xenova/multilingual-e5-small",
        "intfloat/multilingual-e5-small",
        "MIT",
        "94",
        117.7,
        "Mr. TyDi MRR@10 64.4",
        "model card of intfloat/multilingual-e5-small",
        options={
            "pooling": "mean",
            "max_tokens": 512,
            "query_prompt": "query: ",
            "passage_prompt": "passage: ",
        },
    ),
    CatalogModel(
        "bge-m3",
        "sentence",
        "Xenova/bge-m3",
        "BAAI/bge-m3",
        "MIT",
        "over 100",
        567.8,
        "MIRACL nDCG@10 69.2 (dense)",
        "arXiv:2402.03216, table 1",
        options={"pooling": "cls", "max_tokens": 8192},
    ),
    CatalogModel(
        "bge-reranker-v2-m3",
        "reranker",
        "onnx-community/bge-reranker-v2-m3-ONNX",
        "BAAI/bge-reranker-v2-m3",
        "Apache-2.0",
        "over 100",
        567.8,
        "published as charts only",
        "model card of BAAI/bge-reranker-v2-m3",
        note="Slow on a CPU: set a longer SIGHTLINE_RERANKER__TIMEOUT_SECONDS.",
    ),
    CatalogModel(
        "ms-marco-minilm",
        "reranker",
        "Xenova/ms-marco-MiniLM-L-6-v2",
        "cross-encoder/ms-marco-MiniLM-L6-v2",
        "Apache-2.0",
        "English",
        22.7,
        "TREC DL 2019 nDCG@10 74.3, MS MARCO MRR@10 39.0",
        "model card of cross-encoder/ms-marco-MiniLM-L6-v2",
    ),
)
"""The models, by kind and size."""


@dataclass(frozen=True, slots=True)
class CatalogDetector:
    """A detector on the Hugging Face hub, for transformers."""

    repository: str
    license: str
    parameters_millions: float
    note: str

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "repository": self.repository,
            "license": self.license,
            "parameters_millions": self.parameters_millions,
            "note": self.note,
        }


DETECTORS: Final = (
    CatalogDetector(
        "google/owlv2-base-patch16-ensemble", "Apache-2.0", 155, "OWLv2, for photos on a CPU"
    ),
    CatalogDetector(
        "google/owlv2-large-patch14-ensemble", "Apache-2.0", 438, "OWLv2, slow without a GPU"
    ),
    CatalogDetector(
        "IDEA-Research/grounding-dino-tiny", "Apache-2.0", 172, "one pass for each phrase"
    ),
    CatalogDetector(
        "IDEA-Research/grounding-dino-base", "Apache-2.0", 233, "one pass for each phrase"
    ),
)
"""Detectors of photos; `hf download` gets them."""


def find_model(name: str) -> CatalogModel | None:
    """Return the model of this name or repository; None if there is none."""
    for each in CATALOG:
        if name in (each.name, each.repository):
            return each
    return None
