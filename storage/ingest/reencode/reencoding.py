"""Re-encode a collection: fill new embedding spaces, then switch to them.

Searches and ingests go on with the used spaces. What was encoded is committed in batches, so a
killed run continues with the next one. The switch is one transaction: a search sees the old spaces
or the new ones, never both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.errors import MediaError, first_error_only
from sightline.storage.ingest.decode.worker_pool import WorkerPool
from sightline.storage.ingest.embed.embed_stage import BatchEncoder
from sightline.storage.ingest.embed.reliability_stage import measure_reliability
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.reencode import vector_rows
from sightline.storage.ingest.reencode.space_switch import (
    SpaceChange,
    begin,
    changed_levels,
    switch,
    turn,
)
from sightline.storage.ingest.reencode.stored_pictures import (
    DecodedPicture,
    PictureDecoder,
    StoredPicture,
)
from sightline.storage.ingest.reencode.vector_rows import NewVector, StoredTile, UnencodedPassage
from sightline.storage.ingest.store.vector_indexes import VectorIndexMaintainer
from sightline.storage.interfaces import EncoderIdentity, ImageEncoder, Pixels, TextEncoder
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.collections import Collection
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.types import Level

Item = TypeVar("Item")

_TURN_PICTURES = 4
"""Pictures that a worker gets at once; their files are in memory."""
_OTHER_TILES = "its tiles are others now; ingest it again"
_MAX_REST = 64
"""Pictures or passages that the switch itself encodes while writers wait."""
_TILED_SHARE = 8
"""An image with tiles is encoded like so many images."""


@dataclass(frozen=True, slots=True)
class ReencodeProgress:
    """How many vectors of how many are stored; then the index is built."""

    done: int
    total: int
    is_indexing: bool = False


@dataclass(frozen=True, slots=True)
class ReencodeSummary:
    """The result. Without ``switched``, the collection uses the same spaces as before.

    ``changes`` are empty if the collection has the vectors of these encoders already.
    ``unreadable`` are reasons by name.
    """

    collection: str
    switched: bool
    changes: tuple[SpaceChange, ...] = ()
    vectors: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)


async def reencode(
    database: Database,
    blobs: BlobStore,
    encoder: ImageEncoder,
    collection: str,
    *,
    passage_encoder: TextEncoder | None = None,
    options: IngestOptions | None = None,
    progress: Callable[[ReencodeProgress], None] = lambda _: None,
    allow_missing: bool = False,
    free_bytes: int | None = None,
) -> ReencodeSummary:
    """Give a collection the vectors of these encoders, and switch to them.

    Only levels that the collection has and whose encoder is another one change;
    ``passage_encoder`` is for passages, None leaves them. If pictures cannot be read, it does not
    switch, unless ``allow_missing``. ``free_bytes`` is the free disk space of the database, None if
    unknown. Raises UnknownNameError, InvalidArgumentError if another re-encoding is unfinished,
    ConfigurationError for too little space, ModelError and StorageError.
    """
    wanted: dict[Level, EncoderIdentity] = {"asset": encoder.identity, "region": encoder.identity}
    if passage_encoder is not None:
        wanted["passage"] = passage_encoder.identity
    async with database.connection() as connection:
        target = await collections.get(connection, collection)
    if free_bytes is not None:
        await vector_rows.require_disk_space(database, target, wanted, free_bytes)
    run = _Reencoding(
        database=database,
        blobs=blobs,
        collection=target,
        wanted=wanted,
        encoder=encoder,
        passage_encoder=passage_encoder,
        options=options or IngestOptions(),
        progress=progress,
        allow_missing=allow_missing,
    )
    with first_error_only():
        return await run.run()


@dataclass(kw_only=True)
class _Reencoding:
    database: Database
    blobs: BlobStore
    collection: Collection
    wanted: Mapping[Level, EncoderIdentity]
    encoder: ImageEncoder
    passage_encoder: TextEncoder | None
    options: IngestOptions
    progress: Callable[[ReencodeProgress], None]
    allow_missing: bool

    def __post_init__(self) -> None:
        options = self.options
        self._spaces: dict[Level, EmbeddingSpace] = {}
        self._unreadable: dict[str, tuple[str, str]] = {}  # name and reason by asset id
        self._unknown_passages: set[int] = set()  # outside of the vocabulary
        self._failed_passages: set[int] = set()
        self._vectors = 0
        self._done = self._total = 0
        dimension = self.encoder.identity.dimension
        self._encode_pictures = BatchEncoder(
            self.encoder.encode_images, dimension, options.batch_size
        )
        self._encode_texts = BatchEncoder.of_passages(self.passage_encoder, options.batch_size)

    async def run(self) -> ReencodeSummary:
        changes: list[SpaceChange] | None = None
        while changes is None:
            self._spaces = await begin(self.database, self.collection, self.wanted)
            if not self._spaces:
                return ReencodeSummary(self.collection.name, switched=False)
            await self._fill()
            if self._unreadable and not self.allow_missing:
                break
            changes = await self._switch()
        return ReencodeSummary(
            self.collection.name,
            switched=changes is not None,
            changes=tuple(changes or ()),
            vectors=self._vectors,
            unreadable=dict(self._unreadable.values()),
        )

    async def _fill(self) -> None:
        """Make the missing vectors, build the indexes, and measure the encoder."""
        async with self.database.connection() as connection:
            counts = [
                await vector_rows.count(connection, self.collection, space)
                for space in self._spaces.values()
            ]
        self._done = sum(count.done for count in counts)
        self._total = sum(count.total for count in counts)
        before = self._vectors
        indexes = [
            VectorIndexMaintainer(self.database, space, self.options)
            for space in self._spaces.values()
        ]
        for index, count in zip(indexes, counts, strict=True):
            await index.start()
            index.add_expected(count.total - count.done)
            await index.drop_if_large(1.0)
        self._report()
        async for pictures in _batches(self._pictures(), self._pictures_per_batch):
            async with self.database.connection(autocommit=True) as connection:
                vectors = await self._vectors_of_pictures(connection, pictures)
            await self._store(vectors)
        async for rows in self._passages():
            await self._store(await self._vectors_of_passages(rows))
        added = self._vectors - before
        self._report(is_indexing=True)
        for index in indexes:
            await index.finish(added)
        if "asset" in self._spaces:
            await measure_reliability(
                self.database,
                self._spaces["asset"],
                self.collection.id,
                self.encoder,
                added=added,
                batch_size=self.options.batch_size,
            )

    async def _switch(self) -> list[SpaceChange] | None:
        """Encode what came meanwhile and switch; None if that is too much for one turn."""
        async with turn(self.database, self.collection) as connection:
            used = await embedding_spaces.of_collection(connection, self.collection.id)
            if changed_levels(used, self.wanted).keys() != self._spaces.keys():
                return None  # tiles were turned on or off
            vectors: list[NewVector] = []
            for space in self._picture_spaces():
                rows = await self._picture_rows(connection, space, "", _MAX_REST)
                if len(rows) == _MAX_REST:
                    return None
                decoded = [each async for each in self._decode(_one_batch(rows))]
                vectors += await self._vectors_of_pictures(connection, decoded)
            if (space_of_passages := self._spaces.get("passage")) is not None:
                passages = await self._passage_rows(connection, space_of_passages, -1, _MAX_REST)
                if len(passages) == _MAX_REST:
                    return None
                vectors += await self._vectors_of_passages(passages)
            if self._unreadable and not self.allow_missing:
                return None
            await self._insert(connection, vectors)
            return await switch(connection, self.collection, self._spaces, self._failed_passages)

    def _picture_spaces(self) -> list[EmbeddingSpace]:
        levels: tuple[Level, ...] = ("asset", "region")
        return [self._spaces[level] for level in levels if level in self._spaces]

    async def _pictures(self) -> AsyncIterator[DecodedPicture]:
        """Yield the decoded pictures that lack a vector, or vectors of their tiles."""
        for space in self._picture_spaces():
            async for picture in self._decode(self._stored_pictures(space)):
                yield picture

    def _decode(
        self, batches: AsyncIterator[Sequence[StoredPicture]]
    ) -> AsyncIterator[DecodedPicture]:
        decoder = PictureDecoder(
            WorkerPool(self.encoder.preprocess, self.options),
            self.blobs,
            workers=self.options.worker_count,
            max_waiting=2 * self._pictures_per_batch,
        )
        return decoder.decode(batches, tiles="region" in self._spaces)

    @property
    def _pictures_per_batch(self) -> int:
        size = self.options.batch_size
        return max(1, size // _TILED_SHARE) if "region" in self._spaces else size

    async def _stored_pictures(
        self, space: EmbeddingSpace
    ) -> AsyncIterator[Sequence[StoredPicture]]:
        after = ""
        while True:
            async with self.database.connection() as connection:
                rows = await self._picture_rows(connection, space, after, self.options.batch_size)
            if not rows:
                return
            after = rows[-1].asset_id
            for start in range(0, len(rows), _TURN_PICTURES):
                yield rows[start : start + _TURN_PICTURES]

    async def _passages(self) -> AsyncIterator[list[UnencodedPassage]]:
        after, space = -1, self._spaces.get("passage")
        while space is not None:
            async with self.database.connection() as connection:
                rows = await self._passage_rows(connection, space, after, self.options.batch_size)
            if not rows:
                return
            after = rows[-1].passage_id
            yield rows

    async def _picture_rows(
        self, connection: Connection, space: EmbeddingSpace, after: str, rows: int
    ) -> list[StoredPicture]:
        return await vector_rows.pictures_to_encode(
            connection, self.collection, space, after=after, skipped=self._unreadable, rows=rows
        )

    async def _passage_rows(
        self, connection: Connection, space: EmbeddingSpace, after: int, rows: int
    ) -> list[UnencodedPassage]:
        skipped = self._unknown_passages | self._failed_passages
        return await vector_rows.passages_to_encode(
            connection, self.collection, space, after=after, skipped=skipped, rows=rows
        )

    async def _vectors_of_pictures(
        self, connection: Connection, pictures: Sequence[DecodedPicture]
    ) -> list[NewVector]:
        """Return vectors of whole images and tiles; remember which cannot be read."""
        items: list[Pixels] = []
        keys: list[tuple[StoredPicture, int | None]] = []
        tiles: dict[str, list[StoredTile]] = {}
        if "region" in self._spaces:
            ids = [each.picture.asset_id for each in pictures]
            tiles = await vector_rows.tiles_of(connection, ids)
        for each in pictures:
            picture = each.picture
            if each.failure is not None or each.pixels is None:
                self._unreadable[picture.asset_id] = (picture.name, str(each.failure))
                continue
            if "asset" in self._spaces:
                items.append(each.pixels)
                keys.append((picture, None))
            for tile in tiles.get(picture.asset_id, ()):
                found = each.tiles.get(tile.ordinal)
                if found is None or not tile.is_at(found[0]):
                    self._unreadable[picture.asset_id] = (picture.name, _OTHER_TILES)
                    break
                items.append(found[1])
                keys.append((picture, tile.region_id))
        vectors: list[NewVector] = []
        encoded = await self._encode_pictures(items) if items else []
        for (picture, region_id), result in zip(keys, encoded, strict=True):
            if isinstance(result, MediaError):
                self._unreadable[picture.asset_id] = (picture.name, str(result))
            elif region_id is None:
                vectors.append(NewVector("asset", picture.asset_id, result))
            else:
                vectors.append(NewVector("region", region_id, result))
        return vectors

    async def _vectors_of_passages(self, rows: Sequence[UnencodedPassage]) -> list[NewVector]:
        """Return vectors; remember passages that have none."""
        if self._encode_texts is None or not rows:
            return []
        vectors: list[NewVector] = []
        encoded = await self._encode_texts([row.text for row in rows])
        for row, result in zip(rows, encoded, strict=True):
            if isinstance(result, MediaError):
                self._failed_passages.add(row.passage_id)
            elif not result.any():
                self._unknown_passages.add(row.passage_id)
            else:
                vectors.append(NewVector("passage", row.passage_id, result))
        self._done += len(rows) - len(vectors)
        return vectors

    async def _store(self, vectors: Sequence[NewVector]) -> None:
        async with turn(self.database, self.collection) as connection:
            await self._insert(connection, vectors)
        self._report()

    async def _insert(self, connection: Connection, vectors: Sequence[NewVector]) -> None:
        await vector_rows.insert(connection, self._spaces, vectors)
        self._vectors += len(vectors)
        self._done += len(vectors)

    def _report(self, *, is_indexing: bool = False) -> None:
        self.progress(ReencodeProgress(self._done, max(self._done, self._total), is_indexing))


async def _one_batch(rows: Sequence[StoredPicture]) -> AsyncIterator[Sequence[StoredPicture]]:
    if rows:
        yield rows


async def _batches(items: AsyncIterator[Item], size: int) -> AsyncIterator[list[Item]]:
    """Yield lists of ``size`` items; the last one may be shorter."""
    batch: list[Item] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
