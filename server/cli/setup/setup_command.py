"""``sightline setup``: from nothing to the first search, in one command.

All questions come before the first change. Then models are downloaded and tried, and the
configuration is written at once. Every step can be repeated: what is there is not done again.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from sightline.server.cli.connect.client_catalog import McpClient
from sightline.server.cli.setup import setup_steps
from sightline.server.cli.setup.answer_model import answer_settings, ask_answer_model
from sightline.server.cli.setup.languages import ocr_notes
from sightline.server.cli.setup.machine_check import check_machine
from sightline.server.cli.setup.model_download import (
    download,
    is_installed,
    open_hub,
    plan_downloads,
    try_models,
)
from sightline.server.cli.setup.model_proposal import (
    MATERIALS,
    NONE,
    SETTINGS,
    TITLES,
    ModelOption,
    Part,
    option_of,
    options,
    propose,
)
from sightline.server.cli.setup.setup_answers import (
    SetupAnswers,
    ask_answers,
    from_options,
    load_answers,
    save_answers,
)
from sightline.server.cli.setup.setup_result import SetupResult
from sightline.server.config import absolute_path, load_settings, variable
from sightline.server.config.config_edit import ConfigChange, plan_change
from sightline.server.config.config_file import CONFIG_VARIABLE
from sightline.server.models.hub.pull import PullPlan
from sightline.server.models.store.model_store import ModelStore
from sightline.server.observability import logs, terminal
from sightline.server.observability.terminal import write_lines, write_table
from sightline.server.observability.terminal_questions import (
    ask_choice,
    ask_text,
    ask_yes,
    can_ask,
)
from sightline.storage.errors import ConfigurationError, SightlineError, describe

_MIB: Final = 1 << 20


def configure_setup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=Path, help="folder or file to make searchable")
    parser.add_argument("--collection", help="name of its collection, created if missing")
    parser.add_argument(
        "--material", metavar="KIND,...", help=f"kind of material: {', '.join(MATERIALS)}"
    )
    parser.add_argument(
        "--languages", metavar="CODE,...", help="languages of texts and questions, such as en,de"
    )
    parser.add_argument("--device", help="auto, cpu, cuda or mps: where encoders run")
    parser.add_argument("--encoder", help="encoder of pictures (`sightline models list`)")
    parser.add_argument("--passage-model", help="encoder of texts, or 'encoder' for none")
    parser.add_argument("--reranker", help="reranker, or 'off'")
    parser.add_argument(
        "--answers",
        metavar="off|builtin|URL",
        help="vision-language model of answer_question; a URL is an OpenAI-compatible endpoint",
    )
    parser.add_argument("--answers-model", metavar="NAME", help="name of the model at this URL")
    parser.add_argument("--query", help="words of the first search")
    parser.add_argument(
        "--connect", metavar="CLIENT,...", help="MCP clients to connect: names, 'all' or 'none'"
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="ask nothing: take the options, the answers of the last setup, and the proposals",
    )
    parser.add_argument(
        "--offline", action="store_true", help="propose what is on this machine; download nothing"
    )
    parser.add_argument("--json", action="store_true", help="with --yes: print the result as JSON")


def run_setup(arguments: argparse.Namespace) -> int:
    """Run all steps; return 1 if the user declined, or nothing could be ingested."""
    if arguments.json and not arguments.yes:
        raise ConfigurationError("--json asks no questions. Add --yes.")
    if not arguments.yes and not can_ask():
        raise ConfigurationError(
            "There is no terminal to ask questions on. Add --yes, and give what should differ from "
            "the proposals as options (sightline setup --help)."
        )
    with terminal.lines_on_stderr() if arguments.json else nullcontext():
        result = _Setup(arguments).run()
    if arguments.json:
        terminal.write_json(result.as_json())
    return result.exit_code


class _Setup:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._asks = not arguments.yes
        with _without_missing_config():
            self._settings = load_settings()
        logs.configure(self._settings, is_command=True)
        self._store = ModelStore(self._settings.data_dir)
        self._before = load_answers(self._settings.data_dir)

    def run(self) -> SetupResult:
        arguments = self._arguments
        clients = (
            None if arguments.connect is None else setup_steps.parse_clients(arguments.connect)
        )
        machine = check_machine(self._settings.data_dir)
        write_lines(f"Machine: {machine.describe()}")
        with open_hub(is_offline=arguments.offline) as hub:
            write_lines(f"Model hub: {hub.describe()}", "")
            result = SetupResult(machine, hub, self._answers())
            result.models = self._models(result)
            plans = plan_downloads(hub, result.models, self._store)
            result.values = self._values(result.models)
            result.change = plan_change(self._changed(result.values))
            result.notes += self._notes(result)
            self._show(result, plans)
            if self._asks and not ask_yes(_confirmation(plans, result.change), default=True):
                write_lines("Nothing was changed.")
                result.exit_code = 1
                return result
            download(hub, plans, self._store, shown=not arguments.json)
        result.downloaded = {name: plan.size for name, plan in plans.items()}
        self._write(result)
        self._ingest_and_search(result)
        self._connect(result, clients)
        write_lines("Next: sightline search WORDS, sightline connect, sightline serve")
        return result

    def _answers(self) -> SetupAnswers:
        arguments = self._arguments
        default = SetupAnswers(collection=self._settings.default_collection)
        answers = from_options(
            self._before or default,
            folder=arguments.folder,
            collection=arguments.collection,
            materials=arguments.material,
            languages=arguments.languages,
        )
        if not self._asks:
            return answers
        given = {
            "folder": arguments.folder,
            "collection": arguments.collection,
            "materials": arguments.material,
            "languages": arguments.languages,
        }
        return ask_answers(answers, frozenset(key for key, value in given.items() if value))

    def _models(self, result: SetupResult) -> list[ModelOption]:
        """Return the model of each part: of an option, a question, now, or the proposal."""
        hub, machine, answers = result.hub, result.machine, result.answers
        available = None
        if hub.client is None:
            available = {each.folder.name for each in self._store.installed()}
        proposed = propose(answers.materials, answers.languages, machine, available=available)
        chosen = {part: self._present(part, answers) or proposed[part] for part in SETTINGS}
        given: dict[Part, str | None] = {
            "encoder": self._arguments.encoder,
            "passages": self._arguments.passage_model,
            "reranker": self._arguments.reranker,
        }
        chosen |= {part: option_of(part, name) for part, name in given.items() if name}
        if not self._asks or all(given.values()):
            return list(chosen.values())
        self._show_models(list(chosen.values()))
        if ask_yes("Use these models?", default=True):
            return list(chosen.values())
        for part in SETTINGS:
            if given[part]:
                continue
            listed = {each.name: each for each in options(part, machine)}
            listed.setdefault(chosen[part].name, chosen[part])
            if available is not None:
                listed = {n: o for n, o in listed.items() if o.model is None or n in available}
            descriptions = {name: each.describe() for name, each in listed.items()}
            name = ask_choice(f"{TITLES[part]}:", descriptions, chosen[part].name)
            chosen[part] = listed[name]
        return list(chosen.values())

    def _present(self, part: Part, answers: SetupAnswers) -> ModelOption | None:
        """Return the model that is set now if the user chose it for the same material."""
        name: str = attrgetter(SETTINGS[part])(self._settings)
        before = self._before
        is_same = before is not None and (
            (before.materials, before.languages) == (answers.materials, answers.languages)
            and (before.used_hub or self._arguments.offline)
        )
        if name != NONE[part] or is_same:
            return option_of(part, name)
        return None

    def _values(self, models: list[ModelOption]) -> dict[str, Any]:
        """Return the settings that were chosen, by key."""
        values: dict[str, Any] = {SETTINGS[each.part]: each.name for each in models}
        if self._arguments.device:
            values["encoder.device"] = self._arguments.device
        arguments = self._arguments
        choice, model = arguments.answers, arguments.answers_model
        if choice is None and self._asks:
            choice, model = ask_answer_model(self._settings.vlm)
        return values | answer_settings(choice, model)

    def _changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that the configuration does not have already."""
        return {
            key: value for key, value in values.items() if attrgetter(key)(self._settings) != value
        }

    def _notes(self, result: SetupResult) -> list[str]:
        notes = list(ocr_notes(result.answers.languages, self._settings.ingest.ocr_models))
        encoder = next(each for each in result.models if each.part == "encoder")
        if encoder.name == NONE["encoder"] and {*result.answers.materials} != {"documents"}:
            reason = "" if result.hub.client else " Pull one where the hub can be reached, and copy"
            copy = " its folder into `models` of the data folder." if reason else ""
            notes.append(
                "Words will not find what photos show: the built-in encoder knows drawn scenes "
                f"only.{reason}{copy}"
            )
        notes += [
            f"{variable(key)} is set in the environment and has priority over the file: unset it."
            for key in result.values
            if os.environ.get(variable(key))
            and attrgetter(key)(self._settings) != result.values[key]
        ]
        return notes

    def _show(self, result: SetupResult, plans: Mapping[str, PullPlan]) -> None:
        if not self._asks:
            self._show_models(result.models)
        for name, plan in plans.items():
            size = f"{plan.size / _MIB:,.0f} MiB"
            write_lines(f"Download {name}: {plan.request.repository}, {size}, {plan.license}")
        change = result.change
        if change is not None and change.is_empty:
            state = "stays as it is" if change.before else "is not needed: nothing changes"
            write_lines("", f"{change.path} {state}.")
        elif change is not None:
            action = "changes" if change.before else "is created"
            write_lines("", f"{change.path} {action}:", *(f"  {each}" for each in change.lines()))
        write_lines(*(f"note: {note}" for note in result.notes), "")

    def _show_models(self, models: list[ModelOption]) -> None:
        rows = [
            (
                TITLES[each.part],
                each.name,
                "-" if each.model is None else f"{each.disk_mib:,}",
                each.license,
                "on this machine"
                if each.model is None or is_installed(self._store, each.name)
                else "to download",
                each.effect,
            )
            for each in models
        ]
        columns = ("for", "model", "MiB", "license", "where", "effect")
        write_table(columns, rows, whole=("for", "model"))

    def _write(self, result: SetupResult) -> None:
        """Try the models, and then write the configuration."""
        values = {key.replace(".", "__"): value for key, value in result.values.items()}
        with _without_missing_config():
            settings = load_settings(**values)
        try:
            encoders = try_models(settings)
        except SightlineError as error:
            raise ConfigurationError(
                f"A model does not run, so the configuration was not changed: {describe(error)}"
            ) from error
        others = setup_steps.collections_of_other_encoders(settings, encoders)
        change = result.change
        if change is not None and not change.is_empty:
            change.write()
            write_lines(f"Wrote {change.path}")
        used_hub = result.hub.client is not None
        save_answers(settings.data_dir, replace(result.answers, used_hub=used_hub))
        self._settings = load_settings()
        self._reencode(result, others)

    def _reencode(self, result: SetupResult, others: list[str]) -> None:
        """Give collections the vectors of the new encoders."""
        encoder = self._settings.encoder
        for name in others:
            question = f"Collection {name} has vectors of another encoder. Re-encode it now?"
            is_next = name == result.answers.collection
            if ask_yes(question, default=is_next) if self._asks else is_next:
                write_lines("", f"Re-encoding {name}")
                setup_steps.reencode_collection(
                    self._settings, name, shown=not self._arguments.json
                )
                result.reencoded.append(name)
                continue
            result.notes.append(
                f"Collection {name!r} has vectors of another encoder, and is not searched before "
                f"you run: sightline reencode {name} --encoder {encoder.model} --text-encoder "
                f"{encoder.passage_model}"
            )
            write_lines(f"note: {result.notes[-1]}")

    def _ingest_and_search(self, result: SetupResult) -> None:
        answers, arguments = result.answers, self._arguments
        if not answers.folder:
            return
        write_lines("", f"Ingesting {answers.folder} into {answers.collection}")
        summary = setup_steps.ingest_folder(self._settings, answers, shown=not arguments.json)
        result.ingest = summary.as_json()
        result.exit_code = int(summary.nothing_ingested)
        if summary.nothing_ingested:
            return
        query = arguments.query
        if query is None:
            query = setup_steps.first_query(answers)
            query = ask_text("First search", query) if self._asks else query
        write_lines("", f"sightline search {query!r} --collection {answers.collection}")
        result.search = setup_steps.first_search(self._settings, answers, query)

    def _connect(self, result: SetupResult, clients: list[McpClient] | None) -> None:
        if clients is None:
            found = setup_steps.installed_clients() if self._asks else []
            clients = [each for each in found if ask_yes(f"Connect {each.title}?", default=False)]
        setup_steps.connect_clients(clients)
        result.clients = [each.id for each in clients]


def _confirmation(plans: Mapping[str, PullPlan], change: ConfigChange) -> str:
    size = sum(plan.size for plan in plans.values()) / _MIB
    if not plans:
        return "Go on?" if change.is_empty else "Write this file?"
    return f"Download {size:,.0f} MiB{'' if change.is_empty else ' and write this file'}?"


@contextmanager
def _without_missing_config() -> Iterator[None]:
    """Read settings as if no file were named, if the named one is still to be written."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not absolute_path(named).exists():
        del os.environ[CONFIG_VARIABLE]
        try:
            yield
        finally:
            os.environ[CONFIG_VARIABLE] = named
    else:
        yield
