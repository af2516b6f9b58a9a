"""ONNX Runtime gives what torch gives, on pictures of a synthetic album."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks import synthetic_album
from benchmarks.answers import synthetic_questions
from sightline.server.config.settings import EncoderSettings
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.image_text_encoder import (
    BUILTIN_FOLDER,
    ImageTextModel,
    load_model,
)
from sightline.server.models.image_text.onnx_model import OnnxModel
from sightline.server.models.image_text.open_clip_model import OpenClipModel
from sightline.server.models.vision_language.builtin import llava_model
from sightline.server.models.vision_language.builtin.builtin_transport import BuiltinTransport
from sightline.training.vlm.data.letterbox import letterbox
from sightline.training.vlm.data.prompt import ImageEvidence, grounded_messages
from tests.support.transformers_llava import TransformersLlava

pytestmark = pytest.mark.slow

PICTURES = 12
TOLERANCE = 1e-4
MAX_ANSWER_TOKENS = 32


def encoder(folder: Path, engine: str) -> ImageTextModel:
    settings = EncoderSettings(device="cpu", engine=engine)  # type: ignore[arg-type]
    return load_model(settings, folder, OpenClipFolder.open(BUILTIN_FOLDER), "builtin")


def test_pictures_and_captions_get_the_vectors_of_open_clip(tmp_path: Path) -> None:
    synthetic_album.render(tmp_path / "album", count=PICTURES, seed=5)
    queries = (tmp_path / "album" / synthetic_album.QUERIES).read_text("utf-8").splitlines()
    captions = [text for line in queries if (text := json.loads(line).get("query"))]
    files = sorted((tmp_path / "album" / synthetic_album.ALBUM).rglob("*.jpg"))
    assert len(files) == PICTURES
    pictures = [Image.open(file).convert("RGB") for file in files]
    onnx, open_clip = (encoder(tmp_path, engine) for engine in ("onnx", "open_clip"))
    assert isinstance(onnx, OnnxModel)
    assert isinstance(open_clip, OpenClipModel)
    assert onnx.identity == open_clip.identity
    images = [
        model.encode_images([model.preprocess(picture) for picture in pictures])
        for model in (onnx, open_clip)
    ]
    texts = [model.encode_texts(captions) for model in (onnx, open_clip)]
    for ours, theirs in (images, texts):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)
    assert np.std(images[1], axis=0).max() > 100 * TOLERANCE  # the pictures differ


async def test_the_built_in_llava_gives_the_answers_of_transformers(tmp_path: Path) -> None:
    questions = synthetic_questions.create(tmp_path, "test", images=PICTURES, per_image=1)
    reference = TransformersLlava(llava_model.BUILTIN_FOLDER)
    transport = BuiltinTransport(llava_model.BUILTIN_FOLDER)
    ours, theirs = [], []
    async with httpx.AsyncClient(transport=transport, base_url="http://builtin.test/v1") as client:
        for question in questions:
            album = tmp_path / synthetic_questions.ALBUM
            with Image.open(album / question.sources[0]) as image:
                square = letterbox(image)
            messages = grounded_messages(question.question, [ImageEvidence(data_url(square))])
            sent = {
                "model": "builtin-llava",
                "messages": messages,
                "max_tokens": MAX_ANSWER_TOKENS,
                "temperature": 0,
            }
            answer = (await client.post("/chat/completions", json=sent)).json()
            ours.append(answer["choices"][0]["message"]["content"])
            theirs.append(reference.answer(messages, [square], MAX_ANSWER_TOKENS)[0])
    assert ours == theirs
    assert len(set(theirs)) > PICTURES // 2


def data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
