"""Tests of answer_question: only answers with checked evidence."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.server.evaluation.calibration.confidence_fit import to_json
from sightline.tools.answers.rating.confidence import Calibration, Thresholds
from sightline.tools.shared.limits import Limits
from tests.support.corpus import Corpus
from tests.support.listed_detector import ListedDetector
from tests.support.scripted_vlm import failing, scripted
from tests.tools.toolbox import ToolEnvironment, open_image

GARLIC = "album/shop/garlic.png"
QUESTION = "What stands on the green cloth?"


def reply(
    answer: str = "not shown",
    *claims: dict[str, Any],
    missing: str | None = None,
    readings: tuple[str, ...] = (),
) -> str:
    """Return an answer in the JSON format."""
    return json.dumps(
        {"answer": answer, "claims": claims, "missing": missing, "interpretations": readings},
        ensure_ascii=False,
    )


def claim(text: str, *numbers: int, box: Any = None, quote: str | None = None) -> dict[str, Any]:
    """Return one claim."""
    return {"text": text, "evidence": numbers, "box": box, "quote": quote}


def model_that_says(*answers: str, look: str = "yes") -> Any:
    """Return ``answers`` in order, and ``look`` for second checks."""
    waiting = list(answers)
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        if "Answer yes or no." in prompt:
            return look
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    client = scripted(answer)
    return client, prompts


async def ask(environment: ToolEnvironment, model: Any, **arguments: Any) -> dict[str, Any]:
    """Ask about the garlic, or about the given arguments."""
    async with model, environment.replace(vlm=model).serve() as tools:
        arguments.setdefault("question", QUESTION)
        if arguments.get("assets") == "garlic":
            arguments["assets"] = [(await tools.ids())[GARLIC]]
        return await tools.call("answer_question", **arguments)


async def test_the_models_own_second_answer_supports_nothing(
    environment: ToolEnvironment,
) -> None:
    model, prompts = model_that_says(
        reply("garlic", claim("a bulb of garlic", 1, box=[250, 0, 750, 500]))
    )
    result = await ask(environment, model, assets="garlic")
    assert (result["status"], result["answer"]) == ("answered", "garlic")
    (found,) = result["claims"]
    assert found["verdict"] == "unchecked"
    assert "a second check of its box in [1] agrees" in found["reasons"]
    assert found["citations"] == [1]
    assert found["box"] == pytest.approx([0.25, 0.0, 0.75, 0.5], abs=0.02)
    assert found["pixels"] == pytest.approx([24, 0, 72, 32], abs=2)
    assert result["source"] == GARLIC
    assert set(result["timings_ms"]) == {"evidence", "answer", "check", "total"}
    assert "Picture 1:" in prompts[0]
    assert QUESTION in prompts[0]


async def test_an_answer_denied_by_a_second_check_is_withheld(environment: ToolEnvironment) -> None:
    model, _ = model_that_says(reply("a giraffe", claim("a giraffe", 1)), look="no")
    result = await ask(environment, model, assets="garlic")
    assert result["status"] == "uncertain"
    assert "answer" not in result
    assert result["claims"][0]["verdict"] == "contradicted"
    assert "disagrees" in result["missing"]


async def test_evidence_that_does_not_exist_is_sent_back_once_and_then_refused(
    environment: ToolEnvironment,
) -> None:
    made_up = reply("garlic", claim("garlic", 7))
    model, prompts = model_that_says(made_up, reply("garlic", claim("garlic", 1)))
    mended = await ask(environment, model, assets="garlic")
    assert mended["status"] == "answered"
    assert "the answer was repaired once" in mended["notes"]
    assert "[7], which does not exist" in prompts[1]

    model, prompts = model_that_says(made_up)
    refused = await ask(environment, model, assets="garlic")
    assert refused["status"] == "not_shown"
    assert refused["claims"][0]["citations"] == []
    assert len(prompts) == 2


async def test_a_quote_must_be_in_the_cited_passage(environment: ToolEnvironment) -> None:
    question = "What is the hole spacing of the heat sink HS-4420?"

    async def verdict(text: str, quote: str) -> dict[str, Any]:
        def answer(prompt: str) -> str:
            number = next(
                int(line.split(":")[0].removeprefix("Passage "))
                for line in prompt.splitlines()
                if line.startswith("Passage") and "HS-4420" in line
            )
            return reply(text, claim(text, number, quote=quote))

        result = await ask(environment, scripted(answer), question=question)
        return dict(result["claims"][0])

    true = await verdict("42.5 mm", "hole spacing of 42.5 mm")
    assert true["verdict"] == "supported"
    invented = await verdict("42.5 mm", "the holes are 42.5 mm apart")
    assert invented["verdict"] == "contradicted"
    assert "quote" in invented["reasons"][0]
    wrong_number = await verdict("54 mm", "hole spacing of")
    assert wrong_number["verdict"] == "contradicted"
    assert "54" in wrong_number["reasons"][0]


async def test_not_shown_names_what_is_missing_and_the_evidence(
    environment: ToolEnvironment,
) -> None:
    model, _ = model_that_says(reply(missing="a picture of the scales"))
    result = await ask(environment, model, question="How heavy is the garlic?")
    assert result["status"] == "not_shown"
    assert result["missing"] == "a picture of the scales"
    assert result["claims"] == []
    assert result["evidence"]
    assert all(each["source"] for each in result["evidence"])


async def test_an_ambiguous_question_returns_its_interpretations(
    environment: ToolEnvironment,
) -> None:
    readings = ("the cloth on the left", "the cloth below")
    model, _ = model_that_says(reply(readings=readings))
    result = await ask(environment, model, assets="garlic")
    assert (result["status"], tuple(result["interpretations"])) == ("ambiguous", readings)


async def test_the_built_in_models_format_is_parsed_and_checked(
    environment: ToolEnvironment,
) -> None:
    def answer(prompt: str) -> str:
        return "garlic [1] [0.25,0.17,0.75,0.50]" if "Picture 1" in prompt else "Garlic"

    result = await ask(environment, scripted(answer, model="builtin-llava"), assets="garlic")
    (found,) = result["claims"]
    assert (result["status"], result["answer"]) == ("answered", "garlic")
    # It was only asked the same again: that it agrees with itself is no support.
    assert found["verdict"] == "unchecked"
    assert "a second check of [1] agrees" in found["reasons"]
    # 96 x 64 pixels lie in the middle of a square of 96: y 0.17 to 0.5 is the upper half.
    assert found["box"] == pytest.approx([0.25, 0.0, 0.75, 0.5], abs=0.02)


async def test_a_self_contradiction_lowers_confidence_and_contradicts_nothing(
    environment: ToolEnvironment, tmp_path: Path
) -> None:
    weights = {"second_agrees": 1.0, "second_disagrees": -1.0}
    own = Calibration("builtin-llava", 1.0, weights, {})
    (tmp_path / "own.json").write_text(to_json(own), encoding="utf-8")
    calibrated = environment.replace(calibrations=tmp_path)

    async def looked_at(again: str) -> tuple[dict[str, Any], float]:
        def answer(prompt: str) -> str:
            return "the garlic [1] [0.25,0.17,0.75,0.50]" if "Picture 1" in prompt else again

        model = scripted(answer, model="builtin-llava")
        result = await ask(calibrated, model, assets="garlic", question="Where is the garlic?")
        assert result["status"] == "answered"
        return result["claims"][0], result["confidence"]

    steady, sure = await looked_at("[0.27,0.19,0.75,0.50]")
    assert "agrees" in " ".join(steady["reasons"])
    for other in ("[0.80,0.60,0.95,0.80]", "not shown"):
        found, unsure = await looked_at(other)
        assert found["verdict"] == "unchecked"
        assert "disagrees" in " ".join(found["reasons"])
        assert unsure < sure


async def test_the_built_in_model_is_not_believed_about_things_that_it_does_not_know(
    environment: ToolEnvironment, tmp_path: Path
) -> None:
    words = frozenset({"is", "there", "garlic"})
    own = Calibration("builtin-llava", 3.0, {}, {}, known_words=words)
    (tmp_path / "own.json").write_text(to_json(own), encoding="utf-8")
    calibrated = environment.replace(calibrations=tmp_path)
    for thing, status in (("garlic", "answered"), ("frisbee", "uncertain")):
        model = scripted(lambda _: "no [1]", model="builtin-llava")
        question = f"Is there a {thing}?"
        result = await ask(calibrated, model, assets="garlic", question=question)
        assert result["status"] == status
    assert "'frisbee'" in result["missing"]


async def test_an_answer_below_the_minimum_confidence_is_withheld(
    environment: ToolEnvironment,
) -> None:
    async def confidence(least: float) -> dict[str, Any]:
        model = scripted(lambda _: "garlic [1]", model="builtin-llava")
        return await ask(
            environment.replace(limits=Limits(min_answer_confidence=least)),
            model,
            assets="garlic",
            question="What is for sale?",
        )

    given = await confidence(0.0)
    sure = given["confidence"]
    assert given["status"] == "answered"
    assert (await confidence(sure - 0.01))["answer"] == "garlic"
    withheld = await confidence(sure + 0.01)
    assert withheld["status"] == "uncertain"
    assert not {"answer", "confidence"} & set(withheld)
    assert f"its confidence is {sure:.2f}" in withheld["missing"]
    assert [each["text"] for each in withheld["claims"]] == ["garlic"]
    # A model that was never calibrated has no confidence to go by.
    model, _ = model_that_says(reply("garlic", claim("a bulb of garlic", 1)))
    unknown = environment.replace(limits=Limits(min_answer_confidence=1.0))
    assert (await ask(unknown, model, assets="garlic"))["status"] == "answered"


async def test_without_a_model_the_evidence_comes_alone_with_the_reason(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        result = await tools.call("answer_question", question="Where is the garlic?")
    assert result["status"] == "no_model"
    assert "SIGHTLINE_VLM__BASE_URL" in result["missing"]
    assert "read_text" in result["missing"]
    assert "quotation marks" not in result["missing"]  # advice of annotate_image
    assert result["evidence"][0]["asset"]["asset"]


async def test_without_a_model_and_evidence_nothing_matches(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        result = await tools.call(
            "answer_question", question="Where is it?", filters={"file_name": "no.png"}
        )
    assert (result["status"], result["evidence"]) == ("not_shown", [])
    assert "Nothing in the collections matches" in result["missing"]


async def test_evidence_has_its_metadata_and_states_once_what_it_shares(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:
        corpus = Corpus(tools.database, empty_environment.encoder)
        for name, price in (("onion", 1.5), ("garlic", 3.2)):
            asset = await corpus.add(
                f"the whole path of the shop/vegetables/{name}.png",
                collection="shop",
                caption=f"A crate of {name}",
                metadata={"price": price, "description": "long " * 200},
            )
            async with tools.database.connection() as connection:
                await connection.execute(
                    "INSERT INTO region (asset_id, kind, ordinal, label, x0, y0, x1, y1) "
                    "VALUES (%s, 'ocr_line', 0, 'fresh', 0.1, 0.5, 0.9, 0.6)",
                    [asset],
                )
        both = await tools.call("answer_question", question="What does the crate of garlic cost?")
        one = await tools.call("answer_question", question="What does it cost?", assets=[asset])
        listed = await tools.call("search_images", query="garlic")
    image = next(each for each in both["evidence"] if "garlic" in each["source"])
    assert image["asset"]["metadata"] == {"price": 3.2}
    assert image["asset"]["metadata_left_out"] == 1
    assert both["collection"] == one["collection"] == listed["collection"] == "shop"
    assert not any("collection" in each for each in both["evidence"])
    sources = {each["source"] for each in both["evidence"]}
    assert sources == {hit["source"] for hit in listed["hits"]}
    assert sources == {"…/vegetables/onion.png", "…/vegetables/garlic.png"}
    assert one["source"] == "…/vegetables/garlic.png"
    first, text = one["evidence"]
    assert first["asset"]["caption"] == "A crate of garlic"
    assert text["asset"] == {"asset": asset}
    assert not {"source", "collection"} & (set(first) | set(text))


async def test_weak_images_come_after_text_that_answers(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        question = "What is the hole spacing of the heat sink HS-4420?"
        result = await tools.call("answer_question", question=question)
    first, *others = result["evidence"]
    assert first["source"] == "album/notes.md"
    assert "42.5 mm" in first["text"]
    assert "weak" not in first
    assert any(each.get("weak") and each["kind"] == "image" for each in others)
    assert [each["number"] for each in result["evidence"]] == list(range(1, len(others) + 2))
    marks = [each.get("weak", False) for each in result["evidence"]]
    assert marks == sorted(marks)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, text="boom"),
        httpx.Response(404, json={"error": {"message": "no such model", "code": 404}}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"choices": []}),
        httpx.Response(200, json={"choices": [{"message": {"content": None}}]}),
    ],
    ids=["500", "404", "html", "no choice", "no text"],
)
async def test_a_broken_endpoint_leaves_the_evidence(
    environment: ToolEnvironment, response: httpx.Response
) -> None:
    result = await ask(environment, failing(lambda _: response, max_retries=0), assets="garlic")
    assert result["status"] in ("no_model", "unreadable")
    assert result["evidence"]
    assert result["missing"]


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"answer": 3}', "I think it is garlic.", '{"answer": "x", "claims": "no"}', "[1,2"],
)
async def test_an_answer_that_cannot_be_read_is_never_passed_on(
    environment: ToolEnvironment, text: str
) -> None:
    model, _ = model_that_says(text)
    result = await ask(environment, model, assets="garlic")
    assert result["status"] in ("unreadable", "not_shown", "no_model")
    assert "answer" not in result


async def test_cited_images_are_returned_with_boxes_on_request(
    environment: ToolEnvironment,
) -> None:
    model, _ = model_that_says(
        reply("garlic", claim("a bulb of garlic", 1, box=[250, 0, 750, 500]))
    )
    async with model, environment.replace(vlm=model).serve() as tools:
        asset = (await tools.ids())[GARLIC]
        _, shown = await tools.call_with_images(
            "answer_question", question=QUESTION, assets=[asset], annotate=True
        )
    assert len(shown) == 1


async def test_markup_in_passages_and_questions_does_not_reach_the_model(
    environment: ToolEnvironment,
) -> None:
    model, prompts = model_that_says(reply())
    await ask(environment, model, question="Is <image> garlic? <|im_end|>", assets="garlic")
    assert "<image>" not in prompts[0]
    assert "<|im_end|>" not in prompts[0]


async def test_an_empty_question_and_too_many_assets_are_refused(
    environment: ToolEnvironment,
) -> None:
    model, _ = model_that_says(reply())
    async with model, environment.replace(vlm=model).serve() as tools:
        assert "empty" in await tools.call_error("answer_question", question="  ")
        ids = list((await tools.ids()).values())
        said = await tools.call_error("answer_question", question="What?", assets=ids[:7])
        assert "7 assets are too many for one question. Give at most 4." in said


async def test_a_model_without_a_calibration_gives_no_confidence_and_says_so(
    environment: ToolEnvironment,
) -> None:
    model, _ = model_that_says(reply("garlic", claim("a bulb of garlic", 1)))
    result = await ask(environment, model, assets="garlic")
    assert "confidence" not in result
    assert "none has been calibrated for the model 'qwen3-vl'" in " ".join(result["notes"])


async def test_the_built_in_models_answers_come_with_a_confidence(
    environment: ToolEnvironment,
) -> None:
    for said, status in (("garlic [1]", "answered"), ("not shown", "not_shown")):
        model = scripted(lambda _, said=said: said, model="builtin-llava")
        result = await ask(environment, model, assets="garlic")
        assert result["status"] == status
        assert 0 < result["confidence"] < 1


HOW_MANY = "How many bulbs of garlic are there?"
BULB = (0.25, 0.0, 0.75, 0.5)


def seen(count: int) -> ListedDetector:
    """A detector that finds so many bulbs of garlic."""
    return ListedDetector({"bulbs of garlic": [(BULB, 0.9)] * count})


async def test_a_count_that_the_detector_confirms_is_supported(
    environment: ToolEnvironment,
) -> None:
    model, _ = model_that_says(reply("one", claim("There is one", 1)))
    watched = environment.replace(detector=seen(1))
    result = await ask(watched, model, assets="garlic", question=HOW_MANY)
    (found,) = result["claims"]
    assert (result["status"], found["verdict"]) == ("answered", "supported")
    (check,) = found["checks"]
    assert (check["check"], check["outcome"]) == ("count", "supported")
    assert [each["box"] for each in check["boxes"]] == [list(BULB)]
    assert check["boxes"][0]["origin"] == "detector"
    assert check["measured"] == {"sure": 1, "possible": 1}
    assert check["milliseconds"] > 0


async def test_an_answer_that_the_detector_contradicts_is_uncertain(
    environment: ToolEnvironment,
) -> None:
    model, _ = model_that_says(reply("3", claim("3", 1)))
    watched = environment.replace(detector=seen(1))
    result = await ask(watched, model, assets="garlic", question=HOW_MANY)
    assert result["status"] == "uncertain"
    assert "answer" not in result
    assert "counts 1 of" in result["missing"]
    assert result["claims"][0]["verdict"] == "contradicted"
    assert result["evidence"]


async def test_checks_can_be_skipped(environment: ToolEnvironment) -> None:
    model, prompts = model_that_says(reply("3", claim("3", 1)))
    watched = environment.replace(detector=seen(1))
    result = await ask(watched, model, assets="garlic", question=HOW_MANY, checks=False)
    (found,) = result["claims"]
    assert (result["status"], result["answer"]) == ("answered", "3")
    assert (found["verdict"], found["reasons"]) == ("unchecked", ["the checks were skipped"])
    assert "checks" not in found
    assert any("checks=false" in note for note in result["notes"])
    assert "confidence" not in result
    assert len(prompts) == 1


async def test_a_built_in_detector_is_not_asked_about_pictures_that_it_does_not_know(
    environment: ToolEnvironment,
) -> None:
    """The encoder of the tests cannot say whether a picture is known."""
    model, _ = model_that_says(reply("3", claim("3", 1)))
    detector = ListedDetector({"bulbs of garlic": [(BULB, 0.9)]}, name="builtin-detector")
    watched = environment.replace(detector=detector)
    result = await ask(watched, model, assets="garlic", question=HOW_MANY)
    assert result["status"] == "answered"
    assert detector.asked == []


async def test_the_built_in_model_says_what_it_knows(environment: ToolEnvironment) -> None:
    model = scripted(lambda _: "garlic [1]", model="builtin-llava")
    result = await ask(environment, model, assets="garlic", question="What is for sale?")
    assert "builtin-llava knows synthetic scenes only" in result["notes"]


async def test_a_question_with_unknown_words_lowers_the_confidence(
    environment: ToolEnvironment, tmp_path: Path
) -> None:
    own = Calibration(
        "builtin-llava",
        1.0,
        {"unknown_words": -3.0},
        {},
        Thresholds(answered=0.5),
        frozenset({"what", "is", "for", "sale"}),
    )
    (tmp_path / "own.json").write_text(to_json(own), encoding="utf-8")
    calibrated = environment.replace(calibrations=tmp_path)

    async def asked(question: str) -> dict[str, Any]:
        model = scripted(lambda _: "garlic [1]", model="builtin-llava")
        return await ask(calibrated, model, assets="garlic", question=question)

    assert (await asked("What is for sale?"))["status"] == "answered"
    unknown = await asked("Which bulbous allium sits upon the tablecloth?")
    assert unknown["status"] == "uncertain"
    assert "words that the model does not know" in unknown["missing"]


async def test_what_a_question_is_about_finds_its_evidence(environment: ToolEnvironment) -> None:
    model, prompts = model_that_says(reply("2.0", claim("2.0", 1)))
    about = "Three yellow onions in a net"
    result = await ask(environment, model, question="What does it cost?", about=about)
    assert result["evidence"][0]["source"] == "album/shop/onion.png"
    assert f'The question is about: "{about}"' in prompts[0]


async def test_a_color_missing_from_the_image_is_not_answered(environment: ToolEnvironment) -> None:
    model, prompts = model_that_says(reply("violet", claim("a violet cloth", 1)))
    result = await ask(environment, model, assets="garlic")
    assert result["status"] == "uncertain"
    assert "nothing in the cited image is purple" in result["missing"]
    # The pixels were enough: nobody was asked again.
    assert len(prompts) == 1


async def test_a_claim_shown_outside_its_box_is_unchecked(
    environment: ToolEnvironment,
) -> None:
    looks = iter(["no", "yes"])

    def answer(prompt: str) -> str:
        if "Answer yes or no." in prompt:
            return next(looks)
        return reply("garlic", claim("a bulb of garlic", 1, box=[0, 0, 300, 300]))

    result = await ask(environment, scripted(answer), assets="garlic")
    (found,) = result["claims"]
    assert (result["status"], found["verdict"]) == ("answered", "unchecked")
    assert any("does not show it" in reason for reason in found["reasons"])


async def test_a_second_check_sees_the_box_of_a_large_image_in_full_detail(
    environment: ToolEnvironment,
) -> None:
    sent: list[list[tuple[int, int]]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        messages = json.loads(request.content)["messages"]
        parts = [part for each in messages for part in each["content"] if isinstance(part, dict)]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        sent.append([open_image(base64.b64decode(url.partition(",")[2])).size for url in urls])
        text = (
            "yes"
            if len(sent) > 1
            else reply("yellow", claim("it is", 1, box=[750, 750, 1000, 1000]))
        )
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return httpx.Response(200, json={"model": "qwen3-vl", "choices": [choice]})

    async with failing(respond) as model, environment.replace(vlm=model).serve() as tools:
        asset = (await tools.ids())["album/site/large.jpg"]
        await tools.call("answer_question", question=QUESTION, assets=[asset])
    # Of 2400 x 1600 pixels: reduced to what the model sees; then 660 x 440 of them, not enlarged.
    assert sent == [[(1280, 864)], [(672, 448)]]


async def test_the_built_in_model_gets_one_image_at_a_time(environment: ToolEnvironment) -> None:
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return "not shown"

    await ask(environment, scripted(answer, model="builtin-llava"), about="A red bell pepper")
    assert prompts[0].count("<picture>") == 1
