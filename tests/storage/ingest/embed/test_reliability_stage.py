"""The reliability of the image encoder, measured at the end of an ingest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sightline.storage.db.pool import Database
from sightline.storage.interfaces import Vectors
from sightline.storage.records.encoder_reliability import text_agreement
from tests.storage.ingest.conftest import Bench
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder

BOX = (0.1, 0.1, 0.5, 0.2)


def picture(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST)


class ReadingEncoder(ColorHistogramEncoder):
    """It knows the picture that a number names: "picture 7" is near `picture` 7."""

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return await self.encode_images(
            [self.preprocess(picture(int(text.split()[-1]))) for text in texts]
        )


class DoubtfulEncoder(ColorHistogramEncoder):
    """It relates no text to pictures, and says how familiar they are."""

    def __init__(self, familiarity: float | None) -> None:
        self._familiarity = familiarity

    def familiarity(self, vectors: Vectors) -> float | None:
        assert vectors.shape[1] == self.identity.dimension
        return self._familiarity


def fill(folder: Path, numbers: range, *, captioned: bool = False) -> None:
    for number in numbers:
        picture(number).save(folder / f"{number:03}.png")
        if captioned:
            (folder / f"{number:03}.txt").write_text(f"picture {number}")


async def measured(bench: Bench) -> dict[str, tuple[float, int]]:
    """Return reliability and number of assets by kind."""
    rows = await bench.rows(
        "SELECT asset_kind, reliability, asset_count FROM sightline.encoder_reliability"
    )
    return {kind: (round(reliability, 3), count) for kind, reliability, count in rows}


@pytest.mark.parametrize(("encoder", "found"), [(ReadingEncoder(), True), (None, False)])
async def test_captions_decide_how_reliable_an_encoder_is(
    bench: Bench, album: Path, encoder: ColorHistogramEncoder | None, found: bool
) -> None:
    fill(album, range(40), captioned=True)
    await bench.ingest("album", encoder=encoder)
    ((reliability, count),) = (await measured(bench)).values()
    assert count == 40
    assert reliability == 1 if found else reliability < 0.2
    ((deviation,),) = await bench.rows("SELECT text_deviation FROM sightline.encoder_reliability")
    assert 0 < deviation < 0.5


@pytest.mark.parametrize(("familiarity", "expected"), [(None, 1.0), (0.1, 0.1), (0.9, 0.9)])
async def test_without_text_an_encoder_is_as_reliable_as_the_pictures_are_familiar(
    bench: Bench, album: Path, familiarity: float | None, expected: float
) -> None:
    fill(album, range(20))
    await bench.ingest("album", encoder=DoubtfulEncoder(familiarity))
    assert await measured(bench) == {"image": (expected, 20)}


async def test_an_ingest_says_each_time_that_words_do_not_find_its_pictures(
    bench: Bench, album: Path
) -> None:
    fill(album, range(20))
    encoder = DoubtfulEncoder(0.1)
    (note,) = (await bench.ingest("album", encoder=encoder)).notes
    assert note.startswith("Words do not find what the pictures of 'album' show")
    assert encoder.identity.name in note
    assert note.endswith("sightline setup")
    assert (await bench.ingest("album", encoder=encoder)).notes == (note,)
    assert (
        await bench.ingest("album", collection="known", encoder=DoubtfulEncoder(0.9))
    ).notes == ()


async def test_captions_count_more_than_familiar_pictures(bench: Bench, album: Path) -> None:
    fill(album, range(40), captioned=True)
    await bench.ingest("album", encoder=DoubtfulEncoder(1.0))
    assert (await measured(bench))["image"][0] < 0.2


async def test_captions_of_equal_pictures_measure_nothing(bench: Bench, album: Path) -> None:
    for number in range(20):
        text = PngInfo()
        text.add_text("Comment", str(number))  # other bytes, so that each is a picture of its own
        picture(1).save(album / f"{number}.png", pnginfo=text)
        (album / f"{number}.txt").write_text(f"picture {number}")
    await bench.ingest("album", encoder=DoubtfulEncoder(0.7))
    assert await measured(bench) == {"image": (0.7, 20)}


async def test_a_few_captions_measure_nothing(bench: Bench, album: Path) -> None:
    fill(album, range(15), captioned=True)
    await bench.ingest("album", encoder=DoubtfulEncoder(0.7))
    assert await measured(bench) == {"image": (0.7, 15)}


@pytest.mark.parametrize(("encoder", "found"), [(ReadingEncoder(), True), (None, False)])
async def test_each_kind_of_asset_is_measured_by_the_text_written_on_it(
    database: Database, bench: Bench, encoder: ColorHistogramEncoder | None, found: bool
) -> None:
    encoder = encoder or ColorHistogramEncoder()
    corpus = Corpus(database, encoder)
    for number in range(20):
        lines = [(f"shop {number}", BOX)]
        await corpus.add(f"page{number}", kind="page", picture=picture(number), lines=lines)
        await corpus.add(f"image{number}", picture=picture(number))
    await corpus.measure_reliability()
    by_kind = await measured(bench)
    assert by_kind["image"] == (1, 20)  # nothing measures it
    assert by_kind["page"][0] == 1 if found else by_kind["page"][0] < 0.2


async def test_it_is_measured_again_after_a_tenth_has_changed(bench: Bench, album: Path) -> None:
    async def ingest(familiarity: float) -> tuple[float, int]:
        await bench.ingest("album", encoder=DoubtfulEncoder(familiarity))
        return (await measured(bench))["image"]

    fill(album, range(30))
    assert await ingest(0.5) == (0.5, 30)
    assert await ingest(0.6) == (0.5, 30)  # nothing new
    fill(album, range(30, 32))
    assert await ingest(0.6) == (0.5, 30)
    fill(album, range(32, 34))
    assert await ingest(0.6) == (0.6, 34)  # four new pictures since


async def test_an_encoder_that_fails_does_not_fail_the_ingest(bench: Bench, album: Path) -> None:
    class Silent(ColorHistogramEncoder):
        async def encode_texts(self, texts: Sequence[str]) -> Vectors:
            raise RuntimeError("no text tower")

    fill(album, range(20), captioned=True)
    summary = await bench.ingest("album", encoder=Silent())
    assert summary.images == 20
    assert await measured(bench) == {}


async def test_a_deleted_collection_leaves_no_measurement(bench: Bench, album: Path) -> None:
    fill(album, range(3))
    await bench.ingest("album")
    assert await measured(bench) == {"image": (1.0, 3)}
    await bench.rows("DELETE FROM sightline.collection RETURNING id")
    assert await measured(bench) == {}


def test_texts_agree_only_if_they_rank_their_own_images_first() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(100, 32)).astype(np.float32)
    texts = images + 0.1 * rng.normal(size=(100, 32)).astype(np.float32)
    assert text_agreement(texts, images) == 1
    assert text_agreement(rng.normal(size=(100, 32)).astype(np.float32), images) < 0.1
    assert text_agreement(np.ones((100, 32), np.float32), images) < 0.1
    assert text_agreement(texts, np.ones((100, 32), np.float32)) == 0
