"""Run-file lines with `answer`: a question and its reference answers."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

NOT_SHOWN = frozenset({"not shown", "图中没有"})
"""Values of ``answer`` that mean: the evidence contains no answer."""

Coordinate = Annotated[float, Field(ge=0, le=1)]


class EvalQuestion(BaseModel):
    """A question with its reference answers and the location of the answer.

    ``answer`` is one accepted answer or a list of them; "not shown" means that there is none.
    ``about`` is the search query if the question does not name its subject. ``sources`` are the
    files (as given at ingest, or the end of the path) that show the answer: they are the evidence
    of the oracle condition and the reference for citations. ``box`` (normalized x0, y0, x1, y1) is
    the location of the answer; with ``answer_is_box``, the box itself is the answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    question: Annotated[str, Field(min_length=1, max_length=2_000)]
    answer: str | list[str]
    about: Annotated[str, Field(max_length=2_000)] = ""
    sources: Annotated[list[str], Field(min_length=1)]
    box: Annotated[list[Coordinate], Field(min_length=4, max_length=4)] | None = None
    answer_is_box: bool = False
    collection: str | None = None
    filters: dict[str, JsonValue] | None = None
    topic: str | None = None
    groups: dict[str, str] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.answer_is_box and self.box is None:
            raise ValueError("answer_is_box needs a box; give box")
        if not self.answers:
            raise ValueError("answer is empty")
        return self

    @property
    def answers(self) -> tuple[str, ...]:
        """All accepted answers."""
        listed = [self.answer] if isinstance(self.answer, str) else self.answer
        return tuple(each for each in listed if each.strip())

    @property
    def is_answerable(self) -> bool:
        """Whether the evidence contains an answer."""
        return not any(each.strip().lower() in NOT_SHOWN for each in self.answers)
