"""``sightline doctor``: what is wrong with a set-up, and how to mend it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sightline.server.config.settings import Settings, load, unknown_variables
from sightline.storage.errors import SightlineError

if TYPE_CHECKING:
    from sightline.storage.retrieval.ranking.reranker import Judge

HELP = "say what is wrong with this set-up and how to mend it"

_PATIENCE_SECONDS = 600.0
_MARKS = {"good": "ok  ", "note": "note", "bad": "BAD "}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at. ``bad`` means that something will not work."""

    state: Literal["good", "note", "bad"]
    what: str
    finding: str


def configure(parser: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command is given them
    """One line a thing; exit code 1 where something is bad."""
    return asyncio.run(_print(load(loading_wait_seconds=_PATIENCE_SECONDS)))


async def _print(settings: Settings) -> int:
    bad = 0
    async for diagnosis in examine(settings):
        print(f"{_MARKS[diagnosis.state]}  {diagnosis.what}: {diagnosis.finding}", flush=True)
        bad += diagnosis.state == "bad"
    print(f"{bad} to mend." if bad else "Nothing to mend.")
    return 1 if bad else 0


async def examine(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Look at everything in the order in which it is needed."""
    yield Diagnosis("good", "Python", sys.version.split()[0])
    for sentence in unknown_variables(os.environ):
        yield Diagnosis("note", "settings", sentence)
    yield _data_dir(settings)
    async for diagnosis in _parts(settings):
        yield diagnosis
    yield await _vision(settings)
    yield await _reranker(settings)
    yield _paths(settings)
    yield _http(settings)


def _data_dir(settings: Settings) -> Diagnosis:
    folder = settings.data_dir
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Diagnosis(
            "bad", "data folder", f"{existing} cannot be written; set SIGHTLINE_DATA_DIR to another"
        )
    return Diagnosis("good", "data folder", str(folder))


async def _parts(settings: Settings) -> AsyncIterator[Diagnosis]:
    from sightline.server.observability.metrics import Metrics
    from sightline.server.runtime import Runtime
    from sightline.storage.interfaces import EncoderIdentity
    from sightline.storage.records import collections, embedding_spaces
    from sightline.storage.types import Level

    async with Runtime(settings, Metrics()) as runtime:
        where = "embedded" if settings.database_url is None else "given"
        try:
            database = await runtime.database.get()
            async with database.connection() as connection:
                overviews = await collections.overview(connection)
            counted = ", ".join(f"{each.name} ({each.assets} pictures)" for each in overviews)
            yield Diagnosis("good", f"database ({where})", f"collections: {counted or 'none yet'}")
        except SightlineError as error:
            overviews = []
            yield Diagnosis("bad", f"database ({where})", str(error))
        try:
            encoder = await runtime.encoder.get()
        except SightlineError as error:
            yield Diagnosis("bad", f"encoder {settings.encoder}", str(error))
            return
        yield Diagnosis("good", f"encoder {settings.encoder}", str(encoder.identity))
        if settings.encoder == "builtin":
            yield Diagnosis(
                "note",
                "encoder builtin",
                "knows drawn scenes only; photographs are found by captions, text and likeness. "
                "Set SIGHTLINE_ENCODER to a production model, such as ViT-B-32-SigLIP2-256/webli",
            )
        passages = encoder.identity
        if runtime.passage_encoder is not None:
            what = f"passage encoder {settings.passage_encoder}"
            try:
                passages = (await runtime.passage_encoder.get()).identity
            except SightlineError as error:
                yield Diagnosis("bad", what, str(error))
                return
            yield Diagnosis("good", what, str(passages))
        for each in overviews:
            levels: tuple[tuple[Level, EncoderIdentity], ...] = (
                ("asset", encoder.identity),
                ("passage", passages),
            )
            for level, identity in levels:
                async with database.connection() as connection:
                    space = await embedding_spaces.of_collection(
                        connection, each.collection.id, level
                    )
                if space is not None and space.identity != identity:
                    setting = "ENCODER" if level == "asset" else "PASSAGE_ENCODER"
                    yield Diagnosis(
                        "bad",
                        f"collection {each.name}",
                        f"its {level} vectors are of {space.identity}, the encoder is {identity}; "
                        f"set SIGHTLINE_{setting} back, or ingest into a new collection",
                    )


async def _vision(settings: Settings) -> Diagnosis:
    from sightline.server.models.vision_language.vlm_client import VlmClient
    from sightline.server.models.vision_language.vlm_endpoint import Endpoint

    what = "vision-language model"
    try:
        endpoint = Endpoint.from_settings(settings)
        if endpoint is None:
            return Diagnosis(
                "note",
                what,
                "none; answer_question returns evidence and no answer. Start `sightline vlm "
                "builtin` or `sightline vlm serve` and set SIGHTLINE_VLM_BASE_URL",
            )
        async with VlmClient(endpoint) as client:
            await client.health()
    except SightlineError as error:
        return Diagnosis("bad", what, str(error))
    profile = endpoint.profile
    finding = f"{endpoint.model} at {endpoint.shown}, profile {profile.name}"
    if profile.note is not None:
        return Diagnosis("note", what, f"{finding}: {profile.note}")
    return Diagnosis("good", what, finding)


async def _reranker(settings: Settings) -> Diagnosis:
    from sightline.server.models.text import reranker_loader
    from sightline.server.models.vision_language.vlm_client import VlmClient
    from sightline.server.models.vision_language.vlm_endpoint import Endpoint
    from sightline.tools.vlm.vlm_reranker import VisionJudge

    what = f"reranker {settings.reranker}"
    if settings.reranker == reranker_loader.OFF:
        return Diagnosis("good", what, "results come in their fused order")
    try:
        reranker_loader.check(settings)
        endpoint = Endpoint.from_settings(settings)
        if settings.reranker == reranker_loader.VLM and endpoint is not None:
            async with VlmClient(endpoint) as client:
                seconds = await _judged(VisionJudge(client))
        else:
            with await asyncio.to_thread(reranker_loader.load, settings) as cross_encoder:
                seconds = await _judged(cross_encoder)
    except SightlineError as error:
        return Diagnosis("bad", what, str(error))
    allowed = f"{settings.rerank_results} results have {settings.rerank_seconds:g} s"
    return Diagnosis("good", what, f"judged one result in {seconds:.2f} s; {allowed}")


async def _judged(judge: Judge) -> float:
    """Seconds that one judgement took. Raises ModelError where there is none."""
    from sightline.storage.retrieval.ranking.reranker import Exhibit

    began = time.perf_counter()
    await judge.judge("a red van", [Exhibit("", "a red van in the street")])
    return time.perf_counter() - began


def _paths(settings: Settings) -> Diagnosis:
    missing = [str(root) for root in settings.allowed_roots if not root.is_dir()]
    if missing:
        return Diagnosis("bad", "allowed roots", f"no such folder: {', '.join(missing)}")
    roots = ", ".join(str(root) for root in settings.allowed_roots)
    return Diagnosis("good", "allowed roots", roots or "none; tools read no files by path")


def _http(settings: Settings) -> Diagnosis:
    from sightline.server.auth.http_auth import create_http_auth
    from sightline.server.auth.static_tokens import load_tokens

    try:
        create_http_auth(settings, f"http://127.0.0.1:{settings.http_port}{settings.http_path}")
        tokens = load_tokens(settings)
    except SightlineError as error:
        return Diagnosis("bad", "HTTP", str(error))
    ways = [f"{len(tokens)} tokens"] if tokens else []
    ways += [f"JSON Web Tokens of {settings.jwt_issuer}"] if settings.jwt_issuer else []
    guarded = " and ".join(ways) or "no tokens, this machine only"
    return Diagnosis("good", "HTTP", f"{settings.http_host}:{settings.http_port}, {guarded}")
