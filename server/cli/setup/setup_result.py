"""What a setup did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sightline.server.cli.setup.machine_check import Machine
from sightline.server.cli.setup.model_download import Hub
from sightline.server.cli.setup.model_proposal import ModelOption
from sightline.server.cli.setup.setup_answers import SetupAnswers
from sightline.server.config.config_edit import ConfigChange


@dataclass
class SetupResult:
    """What was done; empty where a step was left out."""

    machine: Machine
    hub: Hub
    answers: SetupAnswers
    models: list[ModelOption] = field(default_factory=list)
    downloaded: dict[str, int] = field(default_factory=dict)
    change: ConfigChange | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    reencoded: list[str] = field(default_factory=list)
    ingest: dict[str, Any] | None = None
    search: dict[str, Any] | None = None
    clients: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        change = self.change
        return {
            "machine": self.machine.as_json(),
            "hub": {"is_used": self.hub.client is not None, "problem": self.hub.problem},
            "folder": self.answers.folder or None,
            "collection": self.answers.collection,
            "materials": list(self.answers.materials),
            "languages": list(self.answers.languages),
            "models": [
                {**each.as_json(), "downloaded_bytes": self.downloaded.get(each.name, 0)}
                for each in self.models
            ],
            "config": {
                "path": None if change is None else str(change.path),
                "is_changed": change is not None and not change.is_empty,
                "values": dict(self.values),
            },
            "reencoded": self.reencoded,
            "ingest": self.ingest,
            "search": self.search,
            "clients": self.clients,
            "notes": self.notes,
        }
