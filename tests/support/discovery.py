"""Discover files as an ingest does, but in the process of the test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sightline.storage.ingest.decode.tree_reader import discovered_file
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.discover.input_paths import IngestInput
from sightline.storage.ingest.discover.sidecars import WarningSink
from sightline.storage.ingest.discover.walk import read_tree, trees_of
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import DiscoveredFile


def discover(
    inputs: Sequence[IngestInput], warn: WarningSink = lambda *_: None
) -> Iterator[DiscoveredFile]:
    """Yield the files of the paths in ``inputs``."""
    for request in trees_of(inputs):
        if isinstance(request, messages.TreeRequest):
            for part in read_tree(request, IngestOptions(), lambda: None):
                if isinstance(part, messages.PartWarning):
                    warn(part.code, part.name, part.reason)
                else:
                    yield discovered_file(part, request.real)
