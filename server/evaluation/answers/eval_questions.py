"""A question with its right answer: a line of a run file with `answer`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

#: What an ``answer`` says where the material holds none.
NOT_SHOWN = frozenset({"not shown", "图中没有"})

Coordinate = Annotated[float, Field(ge=0, le=1)]


class Question(BaseModel):
    """One question, what it should be answered with, and where that can be seen.

    ``answer`` is one text or all that count as right; "not shown" says that it has no answer.
    ``about`` is what to search for where the question does not say. ``sources`` are the files,
    as given at ingest or the end of their names, that show the answer: they are the evidence where
    retrieval is given, and what citations are judged by. ``box`` is where it can be seen, x0, y0,
    x1, y1, 0 to 1 of the upright picture; with ``place`` it is itself the answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    question: Annotated[str, Field(min_length=1, max_length=2_000)]
    answer: str | list[str]
    about: Annotated[str, Field(max_length=2_000)] = ""
    sources: Annotated[list[str], Field(min_length=1)]
    box: Annotated[list[Coordinate], Field(min_length=4, max_length=4)] | None = None
    place: bool = False
    collection: str | None = None
    filters: dict[str, JsonValue] | None = None
    topic: str | None = None
    groups: dict[str, str] = {}

    @model_validator(mode="after")
    def _has_its_box(self) -> Self:
        if self.place and self.box is None:
            raise ValueError("place asks for a box; give box")
        if not self.answers:
            raise ValueError("answer is empty")
        return self

    @property
    def answers(self) -> tuple[str, ...]:
        """All that count as right."""
        listed = [self.answer] if isinstance(self.answer, str) else self.answer
        return tuple(each for each in listed if each.strip())

    @property
    def is_answerable(self) -> bool:
        """Whether the material holds an answer."""
        return not any(each.strip().lower() in NOT_SHOWN for each in self.answers)
