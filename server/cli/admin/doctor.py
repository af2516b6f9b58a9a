"""``sightline doctor``: find configuration problems and explain their solution."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image

from sightline.server.auth.http_auth import create_http_auth
from sightline.server.auth.static_tokens import load_tokens
from sightline.server.config import Settings, load_settings, unknown_variables, variable
from sightline.server.config.hosts import MCP_PATH
from sightline.server.database.provider import database_exists
from sightline.server.models import detection
from sightline.server.models.catalog import DETECTORS
from sightline.server.models.model_choice import (
    NO_DETECTOR,
    NO_RERANKER,
    VLM_RERANKER,
    check_reranker,
)
from sightline.server.models.ocr.ocr_models import (
    OCR_LANGUAGES,
    find_models,
    installed_languages,
)
from sightline.server.models.speech import load_transcriber
from sightline.server.models.text import cross_encoder_reranker
from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.server.observability import traces
from sightline.server.observability.metrics import Metrics
from sightline.server.observability.terminal import write_json, write_lines
from sightline.server.runtime import Runtime
from sightline.storage.db import row_security
from sightline.storage.db.queries import Connection
from sightline.storage.db.row_security import BindingKind
from sightline.storage.errors import SightlineError, describe
from sightline.storage.ingest.decode.worker.documents.libre_office import find_libre_office
from sightline.storage.ingest.formats import FORMATS, READERS, FileFormat
from sightline.storage.interfaces import SPEECH_RATE, EncoderIdentity
from sightline.storage.records import collections, embedding_spaces, encoder_reliability
from sightline.storage.retrieval import RerankCandidate, RerankModel
from sightline.storage.types import Level
from sightline.tools.vlm.vlm_reranker import VlmReranker

_LOADING_WAIT_SECONDS = 600.0
# The first patch release without the problem, for each supported version of Python.
_FIXED_IN: dict[str, dict[tuple[int, int], int]] = {
    "CVE-2024-0450 (zipfile, overlapping members)": {(3, 11): 8, (3, 12): 2},
    "CVE-2024-6232 (tarfile, quadratic time)": {(3, 11): 10, (3, 12): 6},
    "CVE-2025-8194 (tarfile, endless loop)": {(3, 11): 14, (3, 12): 12, (3, 13): 6},
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Result of one check. With ``error``, something does not work."""

    status: Literal["ok", "note", "error"]
    subject: str
    message: str

    def __str__(self) -> str:
        label = "ERROR" if self.status == "error" else f"{self.status:5}"
        return f"{label} {self.subject}: {self.message}"


def configure_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_doctor(arguments: argparse.Namespace) -> int:
    """Print one line per check; return 1 if there is a problem."""
    checks = []
    async for diagnosis in diagnose(load_settings()):
        checks.append(diagnosis)
        if not arguments.json:
            write_lines(str(diagnosis))
    problems = sum(each.status == "error" for each in checks)
    if arguments.json:
        write_json({"checks": [asdict(each) for each in checks], "problems": problems})
    else:
        write_lines(f"{problems or 'No'} problem{'s' * (problems != 1)} found.")
    return 1 if problems else 0


async def diagnose(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Run all checks."""
    yield check_python(sys.version_info[:3])
    for warning in unknown_variables(os.environ):
        yield Diagnosis("note", "settings", warning)
    for diagnosis in check_formats(FORMATS):
        yield diagnosis
    yield check_libre_office(find_libre_office(), is_used=settings.ingest.libre_office)
    yield _data_dir(settings)
    async for diagnosis in _database_and_encoders(settings):
        yield diagnosis
    yield await _vlm(settings)
    yield await check_detector(settings)
    yield await _reranker(settings)
    yield await _speech(settings)
    yield check_ocr(settings)
    yield _allowed_roots(settings)
    yield _http(settings)
    yield _traces()


def check_python(version: tuple[int, int, int]) -> Diagnosis:
    """Report known vulnerabilities of the modules that read archives."""
    shown = ".".join(map(str, version))
    minor, patch = version[:2], version[2]
    open_cves = [cve for cve, fixed in _FIXED_IN.items() if patch < fixed.get(minor, 0)]
    if not open_cves:
        return Diagnosis("ok", "Python", shown)
    needed = max(_FIXED_IN[cve][minor] for cve in open_cves)
    return Diagnosis(
        "note",
        "Python",
        f"{shown} has {', '.join(open_cves)}. Archives are read in limited worker processes, so "
        f"that one file fails at most. Install {minor[0]}.{minor[1]}.{needed} or newer.",
    )


def check_formats(formats: Sequence[FileFormat]) -> Iterator[Diagnosis]:
    """Report the formats that are read, and those whose reader is not installed."""
    supported = [each for each in formats if each.kind != "unsupported"]
    available = [each for each in supported if each.is_available]
    by_kind: dict[str, list[str]] = {}
    for each in available:
        by_kind.setdefault(each.kind, []).append(each.name)
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in by_kind.items())
    yield Diagnosis("ok", "file formats", listed)
    for reader in dict.fromkeys(each.reader for each in supported if each not in available):
        names = ", ".join(each.name for each in supported if each.reader == reader)
        package = READERS[reader].package
        message = f"{names} cannot be read: {package} is not installed (pip install '{package}')"
        yield Diagnosis("note", "file formats", message)


def check_libre_office(program: Path | None, *, is_used: bool) -> Diagnosis:
    """Report whether LibreOffice shows the pages of documents."""
    setting = variable("ingest.libre_office")
    if program is None:
        if is_used:
            problem = f"{setting} is set, but LibreOffice is not installed: no document has pages"
            return Diagnosis("error", "LibreOffice", problem)
        return Diagnosis("note", "LibreOffice", "not installed; documents are read without pages")
    if is_used:
        return Diagnosis("ok", "LibreOffice", f"{program} shows pages and reads old formats")
    message = f"{program} is not used; set {setting}=true for page images and old formats"
    return Diagnosis("note", "LibreOffice", message)


def _data_dir(settings: Settings) -> Diagnosis:
    folder = settings.data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        problem = f"cannot write to {existing}; set SIGHTLINE_DATA_DIR to another folder"
        return Diagnosis("error", "data folder", problem)
    return Diagnosis("ok", "data folder", str(folder))


async def _database_and_encoders(settings: Settings) -> AsyncIterator[Diagnosis]:
    settings = settings.replace(startup_timeout_seconds=_LOADING_WAIT_SECONDS)
    # Nothing is opened before it is asked for, so that a check creates no database.
    async with Runtime(settings, Metrics(), preloads=False) as runtime:
        overviews = []
        subject = f"database ({'embedded' if settings.database.url is None else 'external'})"
        try:
            if database_exists(settings):
                database = await runtime.database.get()
                async with database.connection() as connection:
                    overviews = await collections.list_counts(connection)
                    roles = [each async for each in check_roles(connection)]
                names = ", ".join(f"{each.name} ({each.assets} assets)" for each in overviews)
                yield Diagnosis("ok", subject, f"collections: {names or 'none'}")
                for diagnosis in roles:
                    yield diagnosis
            else:
                yield Diagnosis("note", subject, "not created yet; the first ingest creates it")
        except SightlineError as error:
            yield Diagnosis("error", subject, describe(error))
        encoders: dict[Level, EncoderIdentity] = {}
        subject = f"encoder {settings.encoder.model}"
        try:
            encoder = await runtime.encoder.get()
            encoders = {"asset": encoder.identity, "passage": encoder.identity}
            yield Diagnosis("ok", subject, str(encoder.identity))
            found = {each.id: each.name for each in overviews}
            note = await _unknown_pictures(runtime, encoder.identity, found) if found else None
            if note is not None:
                yield Diagnosis("note", subject, note)
            elif settings.encoder.model == "builtin":
                yield Diagnosis(
                    "note",
                    subject,
                    "knows synthetic scenes only; photos are found by caption, text and "
                    "similarity. Choose another: sightline setup",
                )
            if runtime.passage_encoder is not None:
                subject = f"passage encoder {settings.encoder.passage_model}"
                encoders["passage"] = (await runtime.passage_encoder.get()).identity
                yield Diagnosis("ok", subject, str(encoders["passage"]))
        except SightlineError as error:
            yield Diagnosis("error", subject, describe(error))
            return
        for each in overviews:
            for level, identity in encoders.items():
                async with database.connection() as connection:
                    space = await embedding_spaces.find_for_collection(connection, each.id, level)
                if space is not None and space.identity != identity:
                    is_own = level == "passage" and settings.encoder.passage_model != "encoder"
                    key = "encoder.passage_model" if is_own else "encoder.model"
                    yield Diagnosis(
                        "error",
                        f"collection {each.name}",
                        f"its {level} vectors are from {space.identity}, but the encoder is "
                        f"{identity}; restore {variable(key)}, or run: sightline reencode "
                        f"{each.name}",
                    )


async def check_roles(connection: Connection) -> AsyncIterator[Diagnosis]:
    """Report missing roles: an error once a principal or analyst is bound."""
    problem = await row_security.missing_roles(connection)
    if problem is not None:
        bound = [
            await row_security.bindings(connection, kind=kind) for kind in get_args(BindingKind)
        ]
        yield Diagnosis("error" if any(bound) else "note", "roles", problem)


async def _unknown_pictures(
    runtime: Runtime, encoder: EncoderIdentity, names: Mapping[int, str]
) -> str | None:
    database = await runtime.database.get()
    async with database.connection() as connection:
        found = await encoder_reliability.load(connection, encoder, list(names))
    return encoder_reliability.unknown_pictures(found, encoder, names)


async def _vlm(settings: Settings) -> Diagnosis:
    subject = "vision-language model"
    try:
        endpoint = VlmEndpoint.from_settings(settings.vlm)
        if endpoint is None:
            return Diagnosis(
                "note",
                subject,
                "not configured; answer_question returns evidence without an answer. Start "
                "`sightline vlm serve` and set SIGHTLINE_VLM__BASE_URL, or try the tiny built-in "
                "model with SIGHTLINE_VLM__MODEL=builtin",
            )
        async with VlmClient(endpoint) as client:
            await client.health()
    except SightlineError as error:
        return Diagnosis("error", subject, describe(error))
    profile = endpoint.profile
    message = f"{endpoint.model} at {endpoint.shown}, profile {profile.name}"
    if profile.note is not None:
        return Diagnosis("note", subject, f"{message}: {profile.note}")
    return Diagnosis("ok", subject, message)


async def check_detector(settings: Settings) -> Diagnosis:
    """Report whether the detector finds boxes for a phrase."""
    model = settings.detector.model
    subject = f"detector {model}"
    if model == NO_DETECTOR:
        return Diagnosis("note", subject, "no objects are found, and fewer claims are checked")
    try:
        loaded = await asyncio.to_thread(detection.load, settings.detector)
        with closing(loaded):
            picture = loaded.preprocess(Image.new("RGB", (64, 64)))
            started = time.perf_counter()
            await loaded.detect([picture], ["a red van"])
            seconds = time.perf_counter() - started
    except SightlineError as error:
        return Diagnosis("error", subject, describe(error))
    if model == "builtin":
        advice = f"set {variable('detector.model')}={DETECTORS[0].repository}"
        return Diagnosis("note", subject, f"knows synthetic scenes only; for photos {advice}")
    return Diagnosis("ok", subject, f"searched one picture in {seconds:.2f} s")


async def _reranker(settings: Settings) -> Diagnosis:
    model = settings.reranker.model
    subject = f"reranker {model}"
    if model == NO_RERANKER:
        return Diagnosis("ok", subject, "off; results keep the order of the fusion")
    try:
        endpoint = VlmEndpoint.from_settings(settings.vlm)
        check_reranker(model, has_vlm=endpoint is not None)
        if model == VLM_RERANKER and endpoint is not None:
            async with VlmClient(endpoint) as client:
                seconds = await _rerank_seconds(VlmReranker(client))
        else:
            load = cross_encoder_reranker.load
            loaded = await asyncio.to_thread(load, model, settings.encoder, settings.data_dir)
            with closing(loaded) as cross_encoder:
                seconds = await _rerank_seconds(cross_encoder)
    except SightlineError as error:
        return Diagnosis("error", subject, describe(error))
    limit = f"the limit for all results is {settings.reranker.timeout_seconds:g} s"
    return Diagnosis("ok", subject, f"scored one result in {seconds:.2f} s; {limit}")


async def _speech(settings: Settings) -> Diagnosis:
    subject = "speech"
    try:
        transcriber = load_transcriber(settings.speech)
        if transcriber is None:
            return Diagnosis(
                "note",
                subject,
                "not configured; what is said in videos and audio files is not found. Set "
                f"{variable('speech.base_url')} or {variable('speech.model')}",
            )
        try:
            await transcriber.transcribe(np.zeros(SPEECH_RATE, np.int16))
        finally:
            await transcriber.close()
    except SightlineError as error:
        return Diagnosis("error", subject, describe(error))
    return Diagnosis("ok", subject, transcriber.name)


async def _rerank_seconds(model: RerankModel) -> float:
    started = time.perf_counter()
    await model.score("a red van", [RerankCandidate("", "a red van in the street")])
    return time.perf_counter() - started


def check_ocr(settings: Settings) -> Diagnosis:
    """Return which OCR models there are."""
    if settings.ingest.ocr == "off":
        return Diagnosis("ok", "OCR", "off")
    folder = settings.ingest.ocr_models
    try:
        find_models()
    except SightlineError as error:
        return Diagnosis("error", "OCR", describe(error))
    if folder is not None and not folder.is_dir():
        return Diagnosis("error", "OCR", f"folder not found: {folder}")
    more = [f"{name} ({OCR_LANGUAGES[name]})" for name in installed_languages(folder)]
    missing = [name for name in OCR_LANGUAGES if name not in installed_languages(folder)]
    read = ", ".join(("Latin, Chinese, Japanese", *more))
    where = f"{variable('ingest.ocr_models')} has no model of " if missing else ""
    return Diagnosis("ok", "OCR", f"reads {read}. {where}{', '.join(missing)}".rstrip(". "))


def _allowed_roots(settings: Settings) -> Diagnosis:
    missing = [str(root) for root in settings.allowed_roots if not root.is_dir()]
    if missing:
        return Diagnosis("error", "allowed roots", f"folder not found: {', '.join(missing)}")
    roots = ", ".join(str(root) for root in settings.allowed_roots)
    return Diagnosis("ok", "allowed roots", roots or "none; tools cannot read files by path")


def _http(settings: Settings) -> Diagnosis:
    try:
        create_http_auth(settings, f"http://127.0.0.1:{settings.http.port}{MCP_PATH}")
        tokens = load_tokens(settings)
    except SightlineError as error:
        return Diagnosis("error", "HTTP", describe(error))
    methods = [f"{len(tokens)} tokens"] if tokens else []
    if settings.auth.jwt.issuer:
        methods.append(f"JSON Web Tokens of {settings.auth.jwt.issuer}")
    authentication = " and ".join(methods) or "no authentication, this machine only"
    return Diagnosis("ok", "HTTP", f"{settings.http.host}:{settings.http.port}, {authentication}")


def _traces() -> Diagnosis:
    found = traces.export_of(os.environ)
    return Diagnosis("error" if found.state == "impossible" else "ok", "traces", found.message)
