"""No special token of any model family reaches a model in text that is not ours.

Finding 24: a list of names left the tokens of models that the profile ``plain`` accepts, so that a
caption could begin a turn of the system or count as a picture. The prompts here are those that an
endpoint gets from the real tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightline.server.evaluation import llm_judge
from sightline.server.evaluation.answer_metrics import EvalQuestion
from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.storage.retrieval import RerankCandidate
from sightline.tools.answers.answer_results import AnswerResult, ClaimResult, EvidenceItem
from sightline.tools.vlm.vlm_reranker import VlmReranker
from tests.support.sample_images import jpeg
from tests.support.scripted_vlm import scripted
from tests.support.special_tokens import FAMILIES, ROLE_NAMES, SPECIAL_TOKENS
from tests.tools.toolbox import ToolEnvironment, data_url

#: Both kinds of prompt: of a model without a profile, and of the built-in one.
MODELS = ("some-model", "builtin-llava", "qwen3-vl")


def disguised(token: str) -> str:
    """Return a token as it is, with hidden characters, and around another one."""
    forms = (
        token,
        "\u200b".join(token),
        "\U000e0041".join(token),
        f"{token[:2]}<{token}{token[2:]}",
    )
    return " ".join(forms)


class Endpoint:
    """A model that remembers its prompts, and claims what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        if "yes or no" in prompt:
            return "yes"
        claim = {"text": " ".join(SPECIAL_TOKENS[:9]), "evidence": [1], "box": None, "quote": None}
        answer = {"answer": "x", "claims": [claim], "missing": None, "interpretations": []}
        return json.dumps(answer)


def found_tokens(prompts: Sequence[str]) -> Iterator[str]:
    for prompt in prompts:
        # The endpoint of the tests shows an image as <picture>.
        text = prompt.replace("<picture>", "")
        yield from (token for token in (*SPECIAL_TOKENS, *ROLE_NAMES) if token in text)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("some-model", marks=pytest.mark.slow),
        "builtin-llava",
        pytest.param("qwen3-vl", marks=pytest.mark.slow),
    ],
)
async def test_the_tools_send_no_special_token_of_a_file_or_a_caller(
    database_dsn: str, tmp_path: Path, model: str
) -> None:
    hostile = [" ".join(map(disguised, tokens)) for tokens in (*FAMILIES.values(), ROLE_NAMES)]
    endpoint = Endpoint()
    async with scripted(endpoint, model=model) as client:
        environment = ToolEnvironment(database_dsn, tmp_path / "data", vlm=client)
        async with environment.serve() as tools:
            uploads: list[dict[str, Any]] = [
                {
                    "name": f"{number}.jpg",
                    "data": data_url(jpeg(number), "image/jpeg"),
                    "caption": f"pelican {text}",
                }
                for number, text in enumerate(hostile)
            ]
            await tools.call("add_images", collection="album", uploads=uploads)
            ids = await tools.ids()
            for number, text in enumerate(hostile):
                asset = ids[f"{number}.jpg"]
                question = {"question": f"What is {text}?", "about": text[:400]}
                await tools.call("answer_question", assets=[asset], **question)
                await tools.call("answer_question", **question)
                await tools.client.call_tool(
                    "annotate_image", {"asset": asset, "phrases": [text[:200]]}
                )
    assert len(endpoint.prompts) >= 2 * len(hostile)
    assert any("pelican" in prompt for prompt in endpoint.prompts)
    assert list(found_tokens(endpoint.prompts)) == []


def answered(text: str) -> AnswerResult:
    claim = ClaimResult(text=text, citations=[1], verdict="supported", reasons=[], quote=text)
    item = EvidenceItem(number=1, kind="passage", source=text, text=text)
    return AnswerResult(
        status="answered", answer=text, claims=[claim], evidence=[item], timings_ms={}
    )


async def rerank_and_rate(client: VlmClient, text: str) -> None:
    """Send a text to the reranker and to the judge, as query, result and answer."""
    candidates = [RerankCandidate("", text), RerankCandidate("", "x", jpeg(1))]
    with pytest.raises(Exception, match="log-probabilities"):
        await VlmReranker(client).score(text, candidates)
    await llm_judge.rate(
        client, EvalQuestion(question=text, answer=text, sources=[text]), answered(text)
    )


@pytest.mark.parametrize("model", MODELS)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(
        st.sampled_from((*SPECIAL_TOKENS, *ROLE_NAMES, *"<[|#\n\u200b\x00")), max_size=8
    )
)
async def test_the_reranker_and_the_judge_get_no_special_token(
    model: str, pieces: list[str]
) -> None:
    endpoint = Endpoint()
    async with scripted(endpoint, model=model) as client:
        await rerank_and_rate(client, "".join(("pelican ", *pieces)))
    assert any("pelican" in prompt for prompt in endpoint.prompts)
    assert list(found_tokens(endpoint.prompts)) == []
