"""Scene builder for flat sheets: paper, boards and X-ray films.

Charts, flowcharts, geometry problems, technical drawings and X-ray films are photographed or
scanned sheets. A ``Sheet`` is a ``SceneBuilder`` with a surface. Its texts are bilingual pairs,
English first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.builder import Area, SceneBuilder
from sightline.training.world.core.camera import Camera, Point
from sightline.training.world.core.canvas import RGB, jitter, mix
from sightline.training.world.core.scene import Box, QuestionKind, Scene, Split
from sightline.training.world.core.splits import is_unseen

#: A word or phrase in both languages, English first.
BilingualText = tuple[str, str]


def same_text(text: object) -> BilingualText:
    """Return a text that is equal in both languages, e.g. a number or name."""
    return str(text), str(text)


@dataclass(frozen=True, slots=True)
class Surface:
    """Material of a sheet: name, colors and ruling."""

    name: BilingualText
    ground: RGB
    ink: RGB
    ruling: str = "plain"

    @property
    def dark(self) -> bool:
        """Whether the ink is lighter than the ground."""
        return sum(self.ground) < sum(self.ink)


WHITE: Final = Surface(("white paper", "白纸"), (246, 246, 243), (28, 28, 32))
YELLOW: Final = Surface(("yellow paper", "黄纸"), (245, 226, 150), (50, 36, 20))
GRAY: Final = Surface(("grey paper", "灰纸"), (150, 153, 157), (14, 14, 18))
PINK: Final = Surface(("pink paper", "粉纸"), (246, 196, 204), (60, 20, 34))
BLUEPRINT: Final = Surface(("blueprint paper", "蓝图纸"), (30, 74, 148), (232, 240, 252), "grid")
GRID: Final = Surface(("grid paper", "方格纸"), (243, 246, 244), (26, 28, 40), "grid")
LINED: Final = Surface(("lined paper", "横线纸"), (250, 246, 230), (30, 30, 50), "lines")
GREEN_BOARD: Final = Surface(("a green board", "绿板"), (38, 92, 68), (240, 244, 236), "chalk")
BLACK_BOARD: Final = Surface(("a blackboard", "黑板"), (34, 36, 38), (240, 240, 236), "chalk")

#: Colors that stay distinguishable in an image of 128 pixels.
PENS: Final = ("red", "blue", "green", "orange", "purple", "yellow")


class Sheet(SceneBuilder):
    """A scene builder with a surface; ``shake`` is the camera strength."""

    def __init__(
        self,
        family: str,
        rng: random.Random,
        seed: int,
        split: Split,
        size: tuple[int, int],
        surface: Surface,
        *,
        shake: float = 1.0,
    ) -> None:
        super().__init__(family, rng, seed, split, size, jitter(rng, surface.ground, 5))
        self.surface = surface
        self.ink = jitter(rng, surface.ink, 6)
        self._camera = Camera.handheld(rng, size, shake)
        self._rule()

    def _rule(self) -> None:
        surface, canvas, rng = self.surface, self.canvas, self.rng
        w, h = canvas.size
        if surface.ruling == "film":
            return
        if surface.ruling == "chalk":
            canvas.texture(rng, canvas.full, 14, 26)
            return
        canvas.texture(rng, canvas.full, 6, rng.choice((3, 12, 24)))
        if surface.ruling == "plain":
            return
        pitch = rng.uniform(0.045, 0.065) * w
        line = mix(surface.ground, surface.ink if surface.dark else (70, 130, 210), 0.28)
        at = rng.uniform(0, pitch)
        while at < max(w, h):
            canvas.line([(0, at), (w, at)], line, 0.6)
            if surface.ruling == "grid":
                canvas.line([(at, 0), (at, h)], line, 0.6)
            at += pitch

    def write_text(
        self,
        at: Point,
        text: str,
        size: float,
        *,
        fill: RGB | None = None,
        font: str = "sans",
        anchor: str = "mm",
    ) -> Box:
        """Draw text, record it and return its ink box."""
        ink = self.canvas.text(at, text, size, fill or self.ink, font, anchor)
        self.add_text(text, ink)
        return ink

    def add_bilingual_question(
        self,
        kind: QuestionKind,
        question: BilingualText,
        answer: BilingualText,
        area: Area | None = None,
    ) -> None:
        """Add a question and an answer, each as a bilingual pair."""
        self.add_question(kind, (question[0], answer[0]), (question[1], answer[1]), area)

    def limit_questions(self, limit: int) -> None:
        """Keep at most ``limit`` questions per language, balanced over kinds."""
        pairs = [self._questions[i : i + 2] for i in range(0, len(self._questions), 2)]
        self.rng.shuffle(pairs)
        seen: dict[str, int] = {}
        ranked = []
        for pair in pairs:
            rank = seen[pair[0][0]] = seen.get(pair[0][0], 0) + 1
            ranked.append((rank, pair))
        ranked.sort(key=lambda item: item[0])
        self._questions = [question for _, pair in ranked[:limit] for question in pair]

    def render_sheet(
        self,
        combinations: Sequence[str],
        unseen: bool,
        *,
        light: float = 0.2,
        noise: float = 7,
        blur: float = 0.0,
    ) -> Scene:
        """Render the image; store an unseen combination if there is one."""
        combination = next((c for c in combinations if is_unseen(c)), combinations[0])
        return self.render(
            combination, unseen, camera=self._camera, light=light, noise=noise, blur=blur
        )
