"""Tests of the vision-language model: runtime, metrics, ``sightline doctor``."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sightline.server.app import create_app
from sightline.server.cli.admin import doctor
from sightline.server.config import Settings, load_settings
from sightline.server.observability.metrics import Metrics
from sightline.server.runtime import Runtime
from sightline.storage.errors import ConfigurationError
from sightline.tools.vlm.vision_language_model import Request
from tests.support.fake_vlm_server import MODEL, FakeVlmServer, serving
from tests.support.settings import make_settings


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(FakeVlmServer()) as address:
        yield address


def vlm_settings(
    tmp_path: Path, url: str, model: str = MODEL, profile: str = "llava-1.5"
) -> Settings:
    return make_settings(tmp_path, vlm__base_url=url, vlm__model=model, vlm__profile=profile)


async def test_tools_get_the_model_and_metrics_count_its_calls(tmp_path: Path, url: str) -> None:
    metrics = Metrics()
    async with Runtime(vlm_settings(tmp_path, url), metrics) as runtime:
        vision = runtime.dependencies().vlm
        assert vision is not None
        model = await vision.get()
        assert (model.model, model.profile.name) == (MODEL, "llava-1.5")
        for _ in range(2):
            assert (await model.ask(Request(("Is there a van?",)))).text == "yes"
        assert await runtime.vlm_state() == "ready"
    exposition = metrics.exposition().decode()
    for line in (
        'sightline_vision_calls_total{outcome="answered"} 1.0',
        'sightline_vision_calls_total{outcome="cached"} 1.0',
        "sightline_vision_requests_total 1.0",
        'sightline_vision_tokens_total{of="answer"} 3.0',
        "sightline_vision_seconds_count 2.0",
    ):
        assert line in exposition


async def test_without_an_endpoint_tools_get_no_model(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    runtime = Runtime(settings, Metrics())
    assert runtime.dependencies().vlm is None
    assert await runtime.vlm_state() is None
    assert (await doctor._vlm(settings)).status == "note"


@pytest.mark.parametrize(
    ("model", "path", "state", "finding"),
    [
        (MODEL, "", "ready", r"test-model at http://127\.0\.0\.1:.*, profile llava-1\.5"),
        ("lava", "", "unusable", "no model 'lava'.*available: 'test-model'"),
        (MODEL, "/elsewhere", "unusable", "usually ends in /v1"),
    ],
)
async def test_a_problem_of_the_endpoint_is_reported(
    tmp_path: Path, url: str, model: str, path: str, state: str, finding: str
) -> None:
    settings = vlm_settings(tmp_path, url + path, model)
    async with Runtime(settings, Metrics()) as runtime:
        assert await runtime.vlm_state() == state
    diagnosis = await doctor._vlm(settings)
    assert diagnosis.status == ("ok" if state == "ready" else "error")
    assert re.search(finding, diagnosis.message)


async def test_a_missing_endpoint_is_unreachable_and_a_plain_profile_has_no_boxes(
    tmp_path: Path, url: str
) -> None:
    missing = vlm_settings(tmp_path, "http://127.0.0.1:1/v1")
    async with Runtime(missing, Metrics()) as runtime:
        assert await runtime.vlm_state() == "unreachable"
    assert "cannot be reached" in (await doctor._vlm(missing)).message
    plain = await doctor._vlm(vlm_settings(tmp_path, url, profile="auto"))
    assert plain.status == "note"
    assert "no boxes" in plain.message


def test_an_endpoint_without_a_model_is_an_error_before_the_server_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_VLM__MODEL is not"):
        create_app(load_settings(data_dir=tmp_path, vlm__base_url="http://127.0.0.1:1/v1"))
