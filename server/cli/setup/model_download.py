"""Downloads the chosen models, and tries whether they run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from sightline.server.cli.setup.model_proposal import ModelOption
from sightline.server.config import Settings
from sightline.server.models import model_choice
from sightline.server.models.catalog import CATALOG
from sightline.server.models.hub.hub_client import HubClient
from sightline.server.models.hub.pull import PullPlan, PullRequest, plan_pull, pull_model
from sightline.server.models.store.model_store import ModelStore
from sightline.server.observability import terminal
from sightline.storage.errors import ConfigurationError, ModelUnavailableError
from sightline.storage.interfaces import EncoderIdentity, TextEncoder
from sightline.storage.types import Level

_MIB: Final = 1 << 20
_SAMPLE: Final = "a red van in the street"


@dataclass(frozen=True, slots=True)
class Hub:
    """The model hub; without a ``client``, ``problem`` says why it is not used."""

    client: HubClient | None
    problem: str = ""

    def describe(self) -> str:
        if self.client is None:
            return self.problem
        return f"{self.client.endpoint} can be reached"


@contextmanager
def open_hub(*, is_offline: bool) -> Iterator[Hub]:
    """Yield the hub of the environment (HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY)."""
    if is_offline:
        yield Hub(None, "not asked, because of --offline")
        return
    try:
        client = HubClient.from_environment(os.environ)
    except ConfigurationError as error:
        yield Hub(None, str(error))
        return
    with client:
        try:
            client.revision(CATALOG[0].repository, "main")
        except ModelUnavailableError as error:
            yield Hub(None, str(error))
        except ConfigurationError:  # it has not this model, or asks for a token
            yield Hub(client)
        else:
            yield Hub(client)


def is_installed(store: ModelStore, name: str) -> bool:
    """Return whether a model is complete on this machine."""
    model = store.find(name)
    return model is not None and not any(model.record.damaged_files(model.folder))


def plan_downloads(
    hub: Hub, chosen: Sequence[ModelOption], store: ModelStore
) -> dict[str, PullPlan]:
    """Return what to download, by the name of the model.

    Raises ConfigurationError if a model is neither on this machine nor on the hub.
    """
    plans = {}
    for each in chosen:
        if each.model is None or is_installed(store, each.name):
            continue
        if hub.client is None:
            raise ConfigurationError(
                f"The model {each.name!r} is not on this machine, and the hub is not used: "
                f"{hub.problem}"
            )
        request = PullRequest.parse(each.model.name, None, each.precision)
        plans[each.name] = plan_pull(hub.client, request)
    return plans


def download(hub: Hub, plans: Mapping[str, PullPlan], store: ModelStore, *, shown: bool) -> None:
    """Download models; what stops half-way is continued by the next call."""
    if hub.client is None:
        return
    for name, plan in plans.items():
        with terminal.progress_bar(shown=shown) as update_bar:

            def report(done: int, total: int, name: str = name) -> None:
                update_bar(f"{name} (MiB)", -(-done // _MIB), -(-total // _MIB), "")

            pull_model(hub.client, plan, store, report)


async def _encode(encoder: TextEncoder) -> None:
    await encoder.encode_texts([_SAMPLE])


def try_models(settings: Settings) -> dict[Level, EncoderIdentity]:
    """Load the models of the settings and run them once; return the encoders.

    Raises SightlineError if one does not run.
    """
    identities: dict[Level, EncoderIdentity] = {}
    with closing(model_choice.load_encoder(settings)) as encoder:
        asyncio.run(_encode(encoder))
        identities = {"asset": encoder.identity, "passage": encoder.identity}
    if settings.encoder.passage_model != model_choice.SAME_AS_IMAGES:
        with closing(model_choice.load_passage_encoder(settings)) as passage_encoder:
            asyncio.run(_encode(passage_encoder))
            identities["passage"] = passage_encoder.identity
    if settings.reranker.model not in (model_choice.NO_RERANKER, model_choice.VLM_RERANKER):
        with closing(model_choice.load_reranker(settings)):
            pass
    return identities
