"""Queries to look at: those that came out worst, and those that no branch alone would answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from sightline.server.evaluation.report_model import Case, Mark, Shown
from sightline.server.evaluation.retrieval import ranked_systems
from sightline.server.evaluation.retrieval.retrieval_results import Outcome, TaskOutcome
from sightline.storage.errors import UnknownAssetError
from sightline.storage.records import assets
from sightline.storage.retrieval.hydrate import hydration
from sightline.tools.shared import images
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.references import shortened

_WORST = 12
_TELLING = 6
_WANTED = 2
_HITS = 5
_TEXT_CHARS = 160
_ASKED_EDGE_PIXELS = 256
_ASKED_BYTES = 100_000
_MEASURE = "nDCG@10"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What is shown of a key: where it is from, what is said of it, and its thumbnail."""

    source: str
    text: str
    jpeg: bytes | None = None


Exhibits = Mapping[str, Exhibit]


def worst(task: TaskOutcome) -> list[Outcome]:
    """The queries with the lowest scores, one a topic, groups of the first dimension by turns."""
    ordered = sorted(task.outcomes, key=lambda each: each.scores[task.final][_MEASURE])
    failed = [each for each in ordered if each.scores[task.final][_MEASURE] < 1]
    return _by_turns(failed, _WORST)


def telling(task: TaskOutcome) -> list[Outcome]:
    """The queries that are answered best compared with what the branches do on average."""

    def gain(outcome: Outcome) -> float:
        alone = [outcome.scores[name][_MEASURE] for name in task.branches]
        return outcome.scores[task.final][_MEASURE] - sum(alone) / len(alone)

    gained = [each for each in task.outcomes if gain(each) > 0]
    return _by_turns(sorted(gained, key=gain, reverse=True), _TELLING)


def _by_turns(ordered: Iterable[Outcome], most: int) -> list[Outcome]:
    groups: dict[str, dict[str, Outcome]] = {}
    for each in ordered:
        group = next(iter(each.query.groups.values()), "")
        groups.setdefault(group, {}).setdefault(each.topic, each)
    queues = [list(topics.values()) for topics in groups.values()]
    turns = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(turns) for queue in queues if turn < len(queue)][:most]


async def exhibits(deps: Dependencies, task: TaskOutcome) -> Exhibits:
    """What there is to show of the queries of `worst` and `telling`."""
    chosen = [*worst(task), *telling(task)]
    keys = {key for each in chosen for key in (*_wanted(each), *_hits(task, each))}
    found = {_asked(each): await _question(deps, each) for each in chosen if each.query.image}
    database = await deps.database.get()
    async with database.connection() as connection:
        if task.task == "passages":
            numbers = [int(key) for key in keys if key.isdecimal()]
            texts = await hydration.passages(connection, numbers, ())
            return found | {str(id_): Exhibit(p.source, p.text) for id_, p in texts.items()}
        for id_, asset in (await assets.find(connection, keys)).items():
            try:
                jpeg = await assets.thumbnail(connection, id_)
            except UnknownAssetError:  # it has none, or was deleted a moment ago
                jpeg = None
            found[id_] = Exhibit(asset.source, asset.caption or "", jpeg)
    return found


async def _question(deps: Dependencies, outcome: Outcome) -> Exhibit:
    """The picture that was asked with, small; without it where it was an asset."""
    picture = await ranked_systems.picture(deps, outcome.judged.asked)
    if not isinstance(picture, Image.Image):
        return Exhibit(str(picture), "")
    small = images.encode(picture, max_edge=_ASKED_EDGE_PIXELS, max_bytes=_ASKED_BYTES)
    return Exhibit("", "", small.data)


def _asked(outcome: Outcome) -> str:
    """The key of the picture that was asked with; no asset's and no passage's."""
    return f"asked:{outcome.id}"


def _wanted(outcome: Outcome) -> Sequence[str]:
    grades = outcome.judged.grades
    return sorted(grades, key=lambda key: -grades[key])[:_WANTED]


def _hits(task: TaskOutcome, outcome: Outcome) -> Sequence[str]:
    return outcome.ranking.keys(task.final)[:_HITS]


def case(task: TaskOutcome, outcome: Outcome, known: Exhibits, label: Callable[[str], str]) -> Case:
    """A query with what it should find and what came first; ``label`` names systems."""
    query, grades = outcome.query, outcome.judged.grades
    shown = [_shown(key, "wanted", "wanted", known) for key in _wanted(outcome)]
    for place, key in enumerate(_hits(task, outcome), 1):
        mark: Mark = "right" if grades.get(key, 0) > 0 else "wrong"
        shown.append(_shown(key, mark, f"hit {place}", known))
    if (asked := known.get(_asked(outcome))) is not None:
        shown.insert(0, Shown(["asked with"], "asked", asked.jpeg))
    places = [f"{label(name)} {outcome.place(name) or '–'}" for name in task.systems]
    about = [*query.groups.values(), query.language]
    return Case(
        title=query.query or f"the picture {query.image}",
        facts=[
            ", ".join(filter(None, about)),
            f"{_MEASURE} {outcome.scores[task.final][_MEASURE]:.2f}",
            "first right hit at: " + ", ".join(places),
        ],
        pictures=shown,
    )


def _shown(key: str, mark: Mark, title: str, known: Exhibits) -> Shown:
    exhibit = known.get(key)
    if exhibit is None:
        return Shown([title, "not in the index" if not key.isalnum() else key], mark)
    lines = [title, exhibit.source.rsplit("/", 1)[-1], shortened(exhibit.text, _TEXT_CHARS)]
    return Shown([line for line in lines if line], mark, exhibit.jpeg)
