"""What searches remember between requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from sightline.storage.retrieval.filters.search_scope import KeyCatalog
from sightline.storage.retrieval.retrievers.encoder_reliability import TrustLedger
from sightline.storage.retrieval.retrievers.knn import WideScopes
from sightline.storage.retrieval.retrievers.lexical_retriever import Statistics
from sightline.storage.retrieval.retrievers.null_distribution import Backgrounds


@dataclass(frozen=True, slots=True)
class Memory:
    """One for a process, shared by its searches: all of it is of the tables, for a minute or so."""

    backgrounds: Backgrounds = field(default_factory=Backgrounds)
    wide: WideScopes = field(default_factory=WideScopes)
    statistics: Statistics = field(default_factory=Statistics)
    catalog: KeyCatalog = field(default_factory=KeyCatalog)
    trust: TrustLedger = field(default_factory=TrustLedger)
