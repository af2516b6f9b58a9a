"""How reliable the vectors of an encoder are in a collection, by kind of asset.

An encoder trained on drawings scores near chance on photographs. Its hits must then neither hide
matches of words nor look certain. The measure is stored with the collection, so that a search only
reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sightline.storage.db.queries import Connection, fetch_all, fetch_pairs, load_sql
from sightline.storage.interfaces import EncoderIdentity, Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.types import Level

_SQL = load_sql("encoder_reliability")
MAX_SAMPLED_ASSETS = 256
MIN_TEXTS = 16
"""Fewer texts do not measure an encoder."""
MIN_RELIABILITY = 0.2
"""Below, an encoder is near chance: unrelated texts reach it in 1 of 20 of the smallest samples."""
_MAX_TEXT_CHARS = 1_000  # more than encoders read
_MAX_LINES = 40
_MAX_UNMEASURED_CHANGE = 0.1
_KINDS = ("image", "page", "frame")
_PICTURE_KINDS = ("image", "frame")  # pages are found by their text
_MAX_NAMES = 3
_NEAR_TOP = 0.1
"""Share of images that count as near the top."""


@dataclass(frozen=True, slots=True)
class EncoderReliability:
    """What was measured in the collections of a search.

    ``by_kind`` has a reliability, 0 (chance) to 1, by collection id and kind of asset. What was not
    measured counts as reliable (1). ``text_deviation`` is the usual standard deviation of the
    similarities of a text to images, None if no text measured it.
    """

    by_kind: Mapping[tuple[int, str], float] = field(default_factory=dict)
    text_deviation: float | None = None

    @property
    def depends_on_kind(self) -> bool:
        """Whether two kinds of one collection differ."""
        values = {(id_, value) for (id_, _), value in self.by_kind.items()}
        return len(values) > len({id_ for id_, _ in self.by_kind})

    def of(self, collection_id: int, kind: str | None = None) -> float:
        """Return the reliability for a kind of asset, 0 near chance; None: best kind."""
        keys = ((collection_id, each) for each in (_KINDS if kind is None else (kind,)))
        best = max((self.by_kind[key] for key in keys if key in self.by_kind), default=1.0)
        return best if best >= MIN_RELIABILITY else 0.0

    def knows_pictures(self, collection_id: int) -> bool:
        """Return whether words find what pictures show, as far as it was measured."""
        return all(self.of(collection_id, kind) > 0 for kind in _PICTURE_KINDS)


RELIABLE = EncoderReliability()
"""Nothing was measured."""


@dataclass(frozen=True, slots=True)
class ChangedKind:
    """A kind of asset with its numbers now and at the last measurement.

    The latter are None if it was never measured.
    """

    kind: str
    assets: int
    captions: int
    asset_count: int | None
    caption_count: int | None

    def has_changed(self, added: int) -> bool:
        """Return whether a tenth has changed, or an ingest added a tenth to it."""
        if self.asset_count is None or self.caption_count is None:
            return True
        grown = abs(self.assets - self.asset_count), abs(self.captions - self.caption_count)
        return max(added, *grown) > _MAX_UNMEASURED_CHANGE * self.asset_count


class AssetSample(NamedTuple):
    """Vectors of assets with their captions and the text that is written on them.

    Vectors are float32 of shape (n, dimension). Missing texts are empty.
    """

    vectors: Vectors
    captions: Sequence[str]
    written: Sequence[str]


async def changed_kinds(
    connection: Connection, space: EmbeddingSpace, collection_id: int, *, added: int
) -> list[ChangedKind]:
    """Return the kinds of assets that were not measured, or have changed much since.

    ``added`` is the number of assets and passages that the ingest added.
    """
    params = {"collection_id": collection_id}
    rows = await fetch_all(connection, space.compose(_SQL["kinds"]), params, row=ChangedKind)
    return [row for row in rows if row.has_changed(added)]


async def load_sample(
    connection: Connection, space: EmbeddingSpace, collection_id: int, kind: str
) -> AssetSample:
    """Return at most 256 assets of a kind, those with captions first."""
    params = {
        "collection_id": collection_id,
        "kind": kind,
        "rows": MAX_SAMPLED_ASSETS,
        "chars": _MAX_TEXT_CHARS,
        "lines": _MAX_LINES,
    }
    cursor = await connection.execute(space.compose(_SQL["sample"]), params, binary=True)
    rows = await cursor.fetchall()
    vectors = np.array([vector.to_numpy() for vector, _, _ in rows], dtype=np.float32)
    return AssetSample(
        vectors.reshape(len(rows), space.identity.dimension),
        [caption or "" for _, caption, _ in rows],
        [written or "" for _, _, written in rows],
    )


async def store(
    connection: Connection,
    space: EmbeddingSpace,
    collection_id: int,
    measured: ChangedKind,
    reliability: float,
    text_deviation: float | None,
) -> None:
    """Store the reliability for a kind of asset, with what it was measured on."""
    params = {
        "collection_id": collection_id,
        "kind": measured.kind,
        "reliability": reliability,
        "text_deviation": text_deviation,
        "asset_count": measured.assets,
        "caption_count": measured.captions,
    }
    await connection.execute(space.compose(_SQL["store"]), params)


async def load(
    connection: Connection, encoder: EncoderIdentity, collection_ids: Sequence[int]
) -> EncoderReliability:
    """Return what was measured in the collections."""
    params = {**asdict(encoder), "collections": list(collection_ids)}
    rows = await fetch_all(connection, _SQL["load"], params, row=dict[str, Any])
    deviations = [row["text_deviation"] for row in rows if row["text_deviation"] is not None]
    return EncoderReliability(
        {(row["collection_id"], row["asset_kind"]): row["reliability"] for row in rows},
        float(np.mean(deviations)) if deviations else None,
    )


def unknown_pictures(
    reliability: EncoderReliability, encoder: EncoderIdentity, collections: Mapping[int, str]
) -> str | None:
    """Return a note if there are pictures that the encoder does not know.

    ``collections`` has names by id.
    """
    names = [repr(name) for id_, name in collections.items() if not reliability.knows_pictures(id_)]
    if not names:
        return None
    more = len(names) - _MAX_NAMES
    listed = ", ".join(sorted(names)[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
    return (
        f"Words do not find what the pictures of {listed} show, only texts and captions: the "
        f"encoder {encoder.name!r} does not know such pictures. Choose another: sightline setup"
    )


async def kinds_of(
    connection: Connection, level: Level, ids: Sequence[Any]
) -> dict[int | str, str]:
    """Return kinds of assets by asset or passage id; skips passages without asset."""
    block = "kinds_of_passages" if level == "passage" else "kinds_of_assets"
    return await fetch_pairs(connection, _SQL[block], {"ids": list(ids)})


def text_agreement(texts: Vectors, images: Vectors) -> float:
    """Return the share of texts that rank their own image near the top.

    0 is chance, 1 is all. Both are float32 of shape (n, dimension); row i of ``texts`` belongs to
    row i of ``images``.
    """
    similarities = texts @ images.T
    own = np.diagonal(similarities)[:, None]
    # Ties count half, so that identical texts do not look correct.
    above = (similarities > own).sum(axis=1) + ((similarities == own).sum(axis=1) - 1) / 2
    percentile = above / max(len(texts) - 1, 1)
    near_top = float((percentile <= _NEAR_TOP).mean())
    return float(np.clip((near_top - _NEAR_TOP) / (1 - _NEAR_TOP), 0.0, 1.0))
