"""What is said in audio files and videos is found, shown and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.server.config.settings import SpeechSettings
from sightline.server.models.speech.transcription_client import TranscriptionClient
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from tests.support.encoders import ColorHistogramEncoder
from tests.support.fake_vlm_server import serving
from tests.support.media import GREEN, RED
from tests.support.speech import FakeSpeechServer, audio_file, talking_film
from tests.tools.toolbox import ToolEnvironment, is_near_color


@pytest.fixture
async def talks(empty_environment: ToolEnvironment, tmp_path: Path) -> ToolEnvironment:
    folder = tmp_path / "talks"
    folder.mkdir()
    audio_file(folder / "meeting.mp3", [(5, "kettle"), (30, "hydraulic")], 40, "libmp3lame")
    talking_film(folder / "visit.mp4", [(RED, 2), (GREEN, 2)], [(2.5, "transmission")])
    encoder = ColorHistogramEncoder()
    database = await Database.open(empty_environment.dsn)
    async with serving(FakeSpeechServer()) as url:
        client = TranscriptionClient(SpeechSettings(base_url=url, model="whisper-tiny"))
        try:
            await ingest(
                database,
                BlobStore(empty_environment.data),
                encoder,
                [InputPath("talks", str(folder))],
                collection="talks",
                options=IngestOptions(workers=1),
                passage_encoder=encoder,
                transcriber=client,
            )
        finally:
            await client.close()
            await database.close()
    return empty_environment


async def test_speech_is_found_and_shown_with_its_time(talks: ToolEnvironment) -> None:
    async with talks.serve() as tools:
        (hit,) = (await tools.call("search_text", query="hydraulic", limit=1))["hits"]
        assert (hit["source"], hit["kind"]) == ("talks/meeting.mp3", "speech")
        assert hit["seconds"] == pytest.approx([30, 30.6], abs=0.15)
        assert hit["box"][0::2] == pytest.approx([30 / 40, 30.6 / 40], abs=0.01)

        seen, (picture,) = await tools.call_with_images("view_image", asset=hit["asset"])
        assert seen["asset"]["kind"] == "audio"
        assert picture.width == 4 * picture.height
        _, (part,) = await tools.call_with_images("view_image", asset=hit["asset"], crop=hit["box"])
        assert part.width < picture.width
        _, (marked,) = await tools.call_with_images(
            "annotate_image",
            asset=hit["asset"],
            boxes=[{"box": hit["box"], "label": "hydraulic"}],
        )
        assert marked.width > 500

        (hit,) = (await tools.call("search_text", query="transmission", limit=1))["hits"]
        assert (hit["source"], hit["kind"]) == ("talks/visit.mp4", "speech")
        _, (frame,) = await tools.call_with_images("view_image", asset=hit["asset"])
        assert is_near_color(frame.getpixel((5, 5)), GREEN, 25)

        text = await tools.call("read_text", source="talks/meeting.mp3")
        assert "[0:00:05] The kettle." in text["parts"][0]["text"]
        assert "[0:00:30] The hydraulic." in str(text["parts"])

        only = await tools.call("search_text", query="kettle", kinds=["speech"])
        assert {each["kind"] for each in only["hits"]} == {"speech"}

        answer = await tools.call("answer_question", question="What was said of the hydraulic?")
        (said,) = [each for each in answer["evidence"] if each.get("text") == "The hydraulic."]
        assert said["seconds"] == pytest.approx([30, 30.6], abs=0.15)
        pictures = [each["asset"] for each in answer["evidence"] if each["kind"] == "image"]
        assert all(each["kind"] == "frame" for each in pictures), "a waveform shows nothing"
        named = await tools.call(
            "answer_question", question="What was said?", assets=[said["asset"]["asset"]]
        )
        assert [each.get("text") for each in named["evidence"]] == [
            None,
            "The kettle. | The hydraulic.",
        ]
