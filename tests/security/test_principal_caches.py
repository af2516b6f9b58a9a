"""What one caller asks or stores never changes the results, or the work, of another."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import structure
from sightline.server.models.batcher import Batcher, CachedTextEncoder
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.interfaces import Pixels, Vectors
from sightline.storage.isolation.caller import as_caller, as_principal
from sightline.storage.isolation.caller_cache import CallerCache, TtlCache
from sightline.storage.retrieval import (
    ImageRequest,
    ImageSearch,
    PassageRequest,
    PassageSearch,
    SearchCaches,
    SearchResults,
    Selection,
)
from tests.security.two_principals import House, call_json
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder, color_grid

#: Caches that hold nothing of a caller, or whose keys contain its name.
ALLOWED_CACHES = {
    ("server/evaluation/bootstrap.py", "lru_cache"): "of the command sightline eval",
    ("server/mcp_server/audit.py", "LRUCache"): "the key contains the principal",
    ("server/mcp_server/principals.py", "TTLCache"): "the key is the principal",
    ("server/models/ocr/ocr_models.py", "cache"): "the folder of a package",
    ("server/models/ocr/text_models.py", "cache"): "models",
    ("server/models/text/vocabulary.py", "cache"): "scripts of single characters",
    ("server/reports/templating.py", "cache"): "templates",
    ("server/runtime.py", "cache"): "the key of cursors",
    ("server/web/web_pages.py", "cache"): "files of the web app",
    ("storage/db/queries.py", "cache"): "SQL files",
    ("storage/ingest/decode/worker/passages.py", "cache"): "a splitter for each setting",
    ("storage/ingest/metadata/places.py", "cache"): "a public table of places",
    (
        "storage/ingest/decode/worker/media/video_picture.py",
        "cache",
    ): "tables of light",
    (
        "storage/ingest/decode/worker/pictures/rgb_picture.py",
        "lru_cache",
    ): "conversions of colors, by the whole color profile",
    ("storage/ingest/decode/worker_process.py", "cache"): "types of messages",
    ("storage/postgres/programs.py", "cache"): "programs of Postgres",
    ("storage/picture_hashes/frequencies.py", "cache"): "cosines and orientations",
    ("storage/picture_hashes/local_hashes.py", "cache"): "blurs and frequencies",
    ("storage/picture_hashes/picture_hash.py", "cache"): "positions of the bits of a hash",
    ("storage/text/dates.py", "cache"): "names of months",
    ("storage/text/lexer.py", "cache"): "the dictionary of jieba",
    ("storage/text/special_tokens.py", "lru_cache"): "forms of single characters",
    ("storage/text/stemming.py", "cache"): "lists of words",
    ("storage/text/word_forms.py", "cache"): "lists of words",
    ("tools/answers/rating/confidence.py", "cache"): "calibration files",
    ("tools/answers/checks/domain.py", "cache"): "textures of known pictures",
}
_CACHE_MODULES = ("functools", "cachetools", "async_lru", "cachetools.func")
_CACHE_NAMES = ("cache", "lru_cache", "cached_property")
_MAPPINGS = ("dict", "OrderedDict", "defaultdict", "WeakValueDictionary", "WeakKeyDictionary")


def caches_of(tree: ast.Module) -> Iterator[str]:
    """Yield the kinds of caches that a module imports, and ``dict`` for a self-made one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in _CACHE_MODULES:
            for alias in node.names:
                if node.module != "functools" or alias.name in _CACHE_NAMES:
                    yield alias.name
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in _CACHE_MODULES)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [
                each.attr if isinstance(each, ast.Attribute) else ast.unparse(each)
                for each in targets
            ]
            is_mapping = isinstance(node.value, ast.Dict) or (
                isinstance(node.value, ast.Call)
                and ast.unparse(node.value.func).rpartition(".")[2] in _MAPPINGS
            )
            if is_mapping and any(
                "cache" in name.lower() or "memo" in name.lower() for name in names
            ):
                yield "dict"


def test_only_caches_of_callers_hold_values_of_callers() -> None:
    modules = structure.modules(structure.ROOT)
    found = {
        (str(module.path), kind)
        for module in modules
        if module.path.parts[0] in ("server", "storage", "tools")
        for kind in caches_of(module.tree)
    }
    unknown = found - ALLOWED_CACHES.keys()
    assert not unknown, "use storage/isolation/caller_cache.py, or say why it is safe"
    assert ALLOWED_CACHES.keys() - found == set(), "no longer used"


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("from functools import lru_cache, partial", ["lru_cache"]),
        ("import functools", ["functools"]),
        ("from cachetools import TTLCache", ["TTLCache"]),
        ("class A:\n  def __init__(self):\n    self._answer_cache: dict[str, str] = {}", ["dict"]),
        ("_memo = collections.defaultdict(list)", ["dict"]),
        ("names = {}", []),
    ],
)
def test_caches_are_found(source: str, kinds: list[str]) -> None:
    assert list(caches_of(ast.parse(source))) == kinds


def test_every_cache_of_the_searches_separates_callers() -> None:
    caches = SearchCaches()
    for each in fields(caches):
        assert isinstance(getattr(caches, each.name), CallerCache | TtlCache), each.name


class CachedEncoder(CachedTextEncoder):
    """The small test encoder behind the cache and batcher of the server."""

    def __init__(self) -> None:
        self._plain = ColorHistogramEncoder()
        self.encoded: list[str] = []
        batcher = Batcher({"text": self._forward}, max_batch_items=8, name="encoder")
        super().__init__(batcher, "text", self._plain.identity, 100)

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        return color_grid

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        return await self._plain.encode_images(pixels)

    def _forward(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        return asyncio.run(self._plain.encode_texts(texts))


@dataclass
class Searches:
    """The searches of a process with empty caches."""

    database: Database
    encoder: CachedEncoder = field(default_factory=CachedEncoder)
    caches: SearchCaches = field(default_factory=SearchCaches)

    def __post_init__(self) -> None:
        self.images = ImageSearch(
            self.database, self.encoder, self.encoder, signing_key=b"key", caches=self.caches
        )
        self.passages = PassageSearch(
            self.database, self.encoder, signing_key=b"key", caches=self.caches
        )

    async def of(self, who: str, bound: bool) -> list[Any]:
        """Return what all searches of a caller show, and the texts that were encoded for it."""
        own = Selection(collections=(who,))
        wide = Selection(filters={"kind": "chunk"})
        typed = Selection(filters={"size": {"gte": 0}})
        before = len(self.encoder.encoded)
        with ExitStack() as stack:
            stack.enter_context(as_caller(who))
            if bound:
                stack.enter_context(as_principal(who))
            shown = [
                outline(await self.images.search(request))
                for request in (
                    ImageRequest(query="shared rare7"),
                    ImageRequest(query="shared rare7", selection=own),
                    ImageRequest(query="red", unlike=(Image.new("RGB", (32, 32), "blue"),)),
                    ImageRequest(image=Image.new("RGB", (32, 32), "red"), selection=typed),
                )
            ]
            shown += [
                outline(await self.passages.search(request))
                for request in (
                    PassageRequest(query="shared rare7", limit=20),
                    PassageRequest(query="shared rare7", limit=20, selection=own),
                    PassageRequest(query="shared rare7", limit=20, selection=wide),
                )
            ]
        return [*shown, self.encoder.encoded[before:]]


def outline(results: SearchResults[Any]) -> dict[str, Any]:
    """Return what a caller can compare, without times.

    Of the thousands of passages, samples are random and neighbors approximate, through an index
    that all share. So vectors are compared for the images only, and fused scores not at all.
    """
    report = results.report
    return {
        "order": {
            name: each.keys
            for name, each in report.retrievers.items()
            if name == "lexical" or "image" in name
        },
        "lexical": [
            round(hit.retrievers["lexical"].score, 6)
            for hit in results.hits
            if "lexical" in hit.retrievers
        ],
        "thresholds": {
            name: pytest.approx(each.threshold, abs=1e-4)
            for name, each in report.retrievers.items()
            if each.threshold is not None and "image" in name
        },
        "notes": report.notes,
        "timings": sorted(report.timings_ms),
    }


async def add_passages(
    database: Database, corpus: Corpus, collection: str, count: int, words: int
) -> None:
    """Write passages of ``words`` words with postings and vectors, as ingest does."""
    (first,) = await corpus.add_text(f"{collection} {count}.txt", ["first"], collection=collection)
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO passage (collection_id, source_id, kind, text, tokens, token_count) "
            "SELECT collection_id, source_id, 'chunk', 'shared rare' || n, "
            "'''rare'':1'::tsvector, %s "
            "FROM passage, generate_series(1, %s) AS n WHERE id = %s",
            [words, count, first],
        )
        await connection.execute(
            "INSERT INTO posting (term, passage_id, frequency) "
            "SELECT term, p.id, 1 FROM passage AS p, "
            "LATERAL unnest(ARRAY['share', substring(p.text FROM 8)]) AS term "
            "WHERE p.text LIKE 'shared rare%%' AND p.source_id = "
            "(SELECT source_id FROM passage WHERE id = %s)",
            [first],
        )
        await connection.execute(
            "INSERT INTO embedding (embedding_space_id, collection_id, passage_id, embedding) "
            "SELECT e.embedding_space_id, p.collection_id, p.id, "
            "(SELECT array_agg(sin(k * (p.id %% 997 + 1))) FROM generate_series(1, 48) AS k"
            ")::real[]::halfvec FROM passage AS p, embedding AS e "
            "WHERE e.passage_id = %s AND p.source_id = "
            "(SELECT source_id FROM passage WHERE id = %s) AND p.id <> %s",
            [first, first, first],
        )


async def add_images(database: Database, corpus: Corpus, collection: str, count: int) -> None:
    """Write images with vectors and nothing else."""
    first = await corpus.add(f"{collection} {count}", collection=collection)
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO asset (id, collection_id, source_id, kind, ordinal, location, sha256, "
            "width, height) SELECT left(md5(id || n), 12), collection_id, "
            "source_id, kind, n, location, sha256, width, height "
            "FROM asset, generate_series(1, %s) AS n WHERE id = %s",
            [count, first],
        )
        await connection.execute(
            "INSERT INTO embedding (embedding_space_id, collection_id, asset_id, embedding) "
            "SELECT e.embedding_space_id, a.collection_id, a.id, "
            "(SELECT array_agg(sin(k * (a.ordinal + 1))) FROM generate_series(1, 48) AS k"
            ")::real[]::halfvec FROM asset AS a, embedding AS e WHERE e.asset_id = %s "
            "AND a.source_id = (SELECT source_id FROM asset WHERE id = %s) AND a.id <> %s",
            [first, first, first],
        )


@pytest.fixture
async def searched(database: Database) -> Database:
    """A database in which alice and bob own images and thousands of passages each."""
    corpus = Corpus(database, ColorHistogramEncoder())
    random = np.random.default_rng(5)
    for who, passages, words in (("alice", 5_100, 10), ("bob", 10_100, 40)):
        await add_images(database, corpus, who, 300)
        for number in range(20):
            color = tuple(int(each) for each in random.integers(0, 256, 3))
            await corpus.add(
                f"{who}{number}",
                collection=who,
                picture=Image.new("RGB", (32, 32), color),
                caption=f"shared picture {number}",
                metadata={"size": number},
            )
        await add_passages(database, corpus, who, passages, words)
        async with database.connection() as connection:
            await row_security.bind(connection, who, [who])
    async with database.connection(autocommit=True) as connection:
        await connection.execute("ANALYZE")
    return database


@contextmanager
def process(database: Database) -> Iterator[Searches]:
    searches = Searches(database)
    try:
        yield searches
    finally:
        searches.encoder.close()


async def test_searches_and_material_of_one_principal_change_nothing_for_another(
    searched: Database,
) -> None:
    with process(searched) as alone:
        quiet = await alone.of("alice", bound=True)
        again = await alone.of("alice", bound=True)
        for each in fields(alone.caches):
            assert len(getattr(alone.caches, each.name)), f"{each.name} was not used"
    with process(searched) as shared:
        other = await shared.of("bob", bound=True)
        assert await shared.of("alice", bound=True) == quiet
        # Bob floods the embedding spaces and every cache.
        corpus = Corpus(searched, ColorHistogramEncoder())
        await add_images(searched, corpus, "bob", 9_000)
        await corpus.add("new", collection="bob", caption="shared rare7 picture")
        async with searched.connection(autocommit=True) as connection:
            await connection.execute("ANALYZE")
        with as_caller("bob"), as_principal("bob"):
            for number in range(300):
                await shared.encoder.encode_texts([f"text {number}"])
                shared.caches.term_counts.set("share", 10**6 + number)
        assert await shared.of("bob", bound=True) != other
        assert await shared.of("alice", bound=True) == again  # nothing of hers was evicted
    with process(searched) as restarted:
        await restarted.of("bob", bound=True)
        assert await restarted.of("alice", bound=True) == quiet


async def test_a_caller_shares_nothing_with_itself_before_a_binding(searched: Database) -> None:
    texts: dict[tuple[str, bool], list[str]] = {}
    with process(searched) as searches:
        for who in ("alice", "bob"):
            texts[who, False] = (await searches.of(who, bound=False))[-1]
        bound = await searches.of("alice", bound=True)
        texts["alice", True] = bound[-1]
    assert texts["alice", True]
    assert all(each == texts["alice", True] for each in texts.values())
    with process(searched) as alone:
        assert await alone.of("alice", bound=True) == bound


async def test_the_server_separates_its_callers(house: House) -> None:
    query = "who asked this?"
    for who in ("alice", "boss"):
        async with house.client(who) as client:
            await call_json(client, "search_images", query=query)
    encoder = house.runtime.encoder.value
    assert encoder is not None
    known = {}
    for caller, principal in (("alice", "alice"), ("boss", None), ("bob", "bob"), (None, None)):
        with as_caller(caller), as_principal(principal):
            known[caller] = encoder._rows.get(query) is not None
    assert known == {"alice": True, "boss": True, "bob": False, None: False}
