from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.image_text import image_text_encoder
from sightline.server.models.image_text.image_text_encoder import ImageTextEncoder
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import draw

FAMILIES = ["street", "product", "spine", "geometry", "chart", "room", "shapes", "heatsink"]


@pytest.fixture(scope="module")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageTextEncoder]:
    settings = EncoderSettings(device="cpu", threads=1)
    with closing(image_text_encoder.load(settings, tmp_path_factory.mktemp("data"))) as loaded:
        yield loaded


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_each_caption_is_nearest_to_its_own_image(
    builtin: ImageTextEncoder, language: str
) -> None:
    # The test split shares neither images nor attribute combinations with the training set.
    scenes = [draw(family, seed_of("test", 900_000), "test") for family in FAMILIES]
    images = await builtin.encode_images([builtin.preprocess(scene.image) for scene in scenes])
    texts = await builtin.encode_texts([scene.captions[language][0] for scene in scenes])
    assert (texts @ images.T).argmax(axis=1).tolist() == list(range(len(FAMILIES)))


async def test_its_identity_names_model_and_preprocessing(builtin: ImageTextEncoder) -> None:
    assert builtin.identity.name == "builtin-clip"
    assert builtin.identity.preprocessing == builtin.preprocess.fingerprint
    vectors = await builtin.encode_texts(["a red van"])
    assert vectors.shape == (1, builtin.identity.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_loading_it_makes_no_network_requests(tmp_path: Path) -> None:
    requests: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

    with HTTPServer(("127.0.0.1", 0), Hub) as hub:
        thread = Thread(target=hub.serve_forever)
        thread.start()
        program = (
            "import sys; from pathlib import Path;"
            "from sightline.server.config.settings import EncoderSettings;"
            "from sightline.server.models.image_text import image_text_encoder;"
            "image_text_encoder.load(EncoderSettings(), Path(sys.argv[1])).close()"
        )
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSF"))
        }
        try:
            subprocess.run(
                [sys.executable, "-c", program, str(tmp_path)],
                env={
                    **environment,
                    "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
                    "HF_HOME": str(tmp_path / "hub"),
                },
                check=True,
                timeout=200,
            )
        finally:
            hub.shutdown()
            thread.join()
    assert requests == []


async def test_synthetic_pictures_are_familiar_and_other_pictures_are_not(
    builtin: ImageTextEncoder,
) -> None:
    async def familiarity(images: list[Image.Image]) -> float:
        vectors = await builtin.encode_images([builtin.preprocess(each) for each in images])
        found = builtin.familiarity(vectors)
        assert found is not None
        return found

    drawn = [
        draw(family, seed_of("test", 910_000 + n), "test").image
        for family in FAMILIES
        for n in range(5)
    ]
    assert await familiarity(drawn) > 0.75
    rng = np.random.default_rng(0)
    clouds = [
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((200, 150))
        for _ in range(40)
    ]
    assert await familiarity(clouds) < 0.2


@pytest.mark.parametrize("folder", ["photos", "groceries", "receipts", "screens"])
async def test_photographs_and_scans_are_not_familiar(
    builtin: ImageTextEncoder, folder: str
) -> None:
    real = Path(__file__).parents[5] / "shared" / "real" / folder
    files = sorted(path for path in real.rglob("*") if path.suffix in (".jpg", ".png"))[:60]
    if not files:
        pytest.skip("the folder of real pictures is absent")
    vectors = await builtin.encode_images([builtin.preprocess(Image.open(each)) for each in files])
    assert (builtin.familiarity(vectors) or 0.0) < 0.1
