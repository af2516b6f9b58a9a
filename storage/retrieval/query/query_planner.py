"""Which branches a request for pictures calls for, and what each is asked.

text_to_picture     words against whole pictures
text_to_region      words against parts of pictures (where there are any)
picture_to_picture  a picture and liked examples against whole pictures
picture_to_region   a picture against parts of pictures
text_to_passage     words against captions and other text, by meaning (see `AskBuilder`)
words               words against captions and other text, by the words themselves
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llama_index.core.schema import QueryBundle

from sightline.storage.db.pool import Database
from sightline.storage.interfaces import Vectors
from sightline.storage.types import Level
from sightline.storage.retrieval.query.encoded_query import Question
from sightline.storage.retrieval.query.phrase_filter import phrased
from sightline.storage.retrieval.filters.search_scope import Scope
from sightline.storage.retrieval.ranking.fusion import Ask
from sightline.storage.retrieval.ranking.mmr import steer
from sightline.storage.retrieval.request_validation import DEPTH
from sightline.storage.retrieval.retrievers.base_retriever import Side
from sightline.storage.retrieval.retrievers.lexical_retriever import LexicalBranch
from sightline.storage.retrieval.retrievers.null_distribution import Background
from sightline.storage.retrieval.retrievers.vector_retriever import VectorBranch
from sightline.storage.retrieval.search_caches import Memory


@dataclass(frozen=True, slots=True)
class AskBuilder:
    """Builds the asks of one search. ``trust`` 0 to 1 is what the encoder's words are worth, by
    collection; 1 where that is not known.

    ``one_encoder`` says that pictures and passages share it. Then passages are not asked by
    meaning: such an encoder puts a caption where its picture is, so that the caption's vector
    repeats what the picture's has said, with the noise of a second guess, and gives pictures that
    have a caption two votes for one. (Measured on a drawn album: nDCG@10 0.756 with it, 0.770
    without, and 0.916 and 0.962 of exact captions.)
    """

    database: Database
    scope: Scope
    memory: Memory
    trust: Mapping[int, float]
    one_encoder: bool

    async def build(self, question: Question, visual_weight: float | None) -> list[Ask]:
        """The asks; none of a side that ``visual_weight`` gives no weight."""
        asks: list[Ask] = []
        if visual_weight is None or visual_weight > 0:
            asks += await self._visual(question)
        if question.query and (visual_weight is None or visual_weight < 1):
            asks += self._words(question)
        return asks

    async def _visual(self, question: Question) -> list[Ask]:
        if "asset" not in self.scope.spaces:
            return []
        centre = await self._centre() if len(question.unlike) else None
        asks: list[Ask] = []
        none = question.like[:0]
        by_picture = steer(question.picture, question.like, question.unlike, centre)
        if by_picture is not None:
            asks.append(self._vectors("picture_to_picture", "visual", "asset", by_picture))
            if question.picture is not None:
                asks += self._optional("picture_to_region", "region", by_picture, {})
        if question.words is not None:
            # With liked examples it is they that are steered; words stay what they are.
            away = none if by_picture is not None else question.unlike
            by_words = steer(question.words, none, away, centre)
            if by_words is not None:
                trusted = self._vectors(
                    "text_to_picture", "visual", "asset", by_words, trust=self.trust
                )
                asks += [trusted, *self._optional("text_to_region", "region", by_words, self.trust)]
        return asks

    def _words(self, question: Question) -> list[Ask]:
        scope = phrased(self.scope, question.query)
        lexical = LexicalBranch(
            "words", self.database, scope, self.memory.statistics, target="asset", depth=DEPTH
        )
        asks = [Ask(lexical, QueryBundle(question.query))]
        if (
            question.passage_words is not None
            and not self.one_encoder
            and "passage" in self.scope.spaces
        ):
            asks.append(
                self._vectors(
                    "text_to_passage",
                    "words",
                    "passage",
                    question.passage_words,
                    scope=scope,
                )
            )
        return asks

    def _optional(
        self, name: str, level: Level, vector: Vectors, trust: Mapping[int, float]
    ) -> list[Ask]:
        if level not in self.scope.spaces:
            return []
        return [self._vectors(name, "visual", level, vector, trust=trust)]

    def _vectors(
        self,
        name: str,
        side: Side,
        level: Level,
        vector: Vectors,
        *,
        trust: Mapping[int, float] | None = None,
        scope: Scope | None = None,
    ) -> Ask:
        branch = VectorBranch(
            name,
            side,
            self.database,
            scope or self.scope,
            self.scope.spaces[level].space,
            self.memory,
            target="asset",
            depth=DEPTH,
            trust=trust,
        )
        return Ask(branch, QueryBundle("", embedding=vector.tolist()))

    async def _centre(self) -> Vectors | None:
        space = self.scope.spaces["asset"].space
        async with self.database.connection(autocommit=True) as connection:
            background: Background = await self.memory.backgrounds.of(connection, space, self.scope)
        return background.mean if len(background.sample) else None
