"""Flowcharts: steps in boxes, arrows, and in some a decision with its two ways."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from sightline.training.world.camera import Point
from sightline.training.world.canvas import RGB, darker, lighter
from sightline.training.world.language import CHINESE, COLOURS, yes_no
from sightline.training.world.scene import Box, Picture, Split
from sightline.training.world.sheet import (
    BLACK_BOARD,
    GREEN_BOARD,
    GREY,
    GRID,
    PENS,
    PINK,
    WHITE,
    YELLOW,
    Sheet,
    Surface,
    Words,
    same,
)
from sightline.training.world.splits import choose

STEPS: Final = ("Order", "Pack", "Ship", "Test", "Fix", "Build", "Print", "Scan", "Sort", "Store",
                "Login", "Send", "Wait", "Cook", "Wash", "Dry", "Cut", "Paint", "Weigh",
                "Label")  # fmt: skip
DECISIONS: Final = ("Paid?", "OK?", "New?", "Full?", "Clean?", "Ready?", "Safe?", "Dry?")
STARTS: Final = ("Start", "Begin", "Open")
ENDS: Final = ("End", "Done", "Close")
LAYOUTS: Final[dict[str, Words]] = {
    "down": ("going down", "从上到下"),
    "across": ("going across", "从左到右"),
    "snake": ("turning back", "折返"),
    "fork": ("with a decision", "带判断"),
}
SURFACES: Final = (WHITE, WHITE, YELLOW, GREY, PINK, GRID, GREEN_BOARD, BLACK_BOARD)
SIZES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "down": ((300, 380), (320, 380), (280, 360)),
    "across": ((440, 240), (440, 260), (420, 240)),
    "snake": ((400, 300), (420, 300), (400, 320)),
    "fork": ((380, 380), (360, 380), (400, 380)),
}


@dataclass(frozen=True, slots=True)
class Flow:
    """What a flowchart says: its steps in order, and what follows a decision.

    In a fork ``steps`` are the start, a step, the yes way and the no way; the decision stands
    after the second.
    """

    layout: str
    steps: tuple[str, ...]
    decision: str
    yes_right: bool
    colour: str
    marked: str
    marked_colour: str
    surface: Surface
    shape: str

    @property
    def combinations(self) -> tuple[str, ...]:
        """The attributes that are combined: layout and size, layout and colours."""
        return (
            f"flowchart/{self.layout}/{len(self.steps)}/{self.colour}",
            f"flowchart/{self.colour}/{self.marked_colour}",
        )

    def colour_of(self, step: str) -> str:
        """The colour of a step's box; the marked one has another than the rest."""
        return self.marked_colour if step == self.marked else self.colour


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw the flowchart of ``seed``."""
    flow, unseen = choose(rng, split, lambda: _invent(rng), lambda f: f.combinations)
    sheet = Sheet("flowchart", rng, seed, split, rng.choice(SIZES[flow.layout]), flow.surface)
    _ask(sheet, flow, _Plan(sheet, flow).paint())
    _caption(sheet, flow)
    return sheet.photograph(flow.combinations, unseen)


def _invent(rng: random.Random) -> Flow:
    layout = rng.choice(tuple(LAYOUTS))
    fork = layout == "fork"
    count = {"down": rng.randint(3, 5), "across": rng.randint(3, 4), "snake": rng.choice((4, 6)),
             "fork": 4}[layout]  # fmt: skip
    decision = rng.choice(DECISIONS) if fork else ""
    pool = [s for s in STEPS if s != decision.rstrip("?")]
    if fork:
        steps = (rng.choice(STARTS), *rng.sample(pool, 3))
    else:
        middle = rng.sample(pool, count)
        if rng.random() < 0.6:
            middle[0] = rng.choice(STARTS)
        if rng.random() < 0.6:
            middle[-1] = rng.choice(ENDS)
        steps = tuple(middle)
    colour, other = rng.sample(PENS, 2)
    return Flow(
        layout=layout,
        steps=steps,
        decision=decision,
        yes_right=rng.random() < 0.5,
        colour=colour,
        marked=rng.choice(steps[1:]),
        marked_colour=other,
        surface=rng.choice(SURFACES),
        shape=rng.choice(("square", "round")),
    )


class _Plan:
    """One flowchart being drawn."""

    def __init__(self, sheet: Sheet, flow: Flow) -> None:
        self.sheet, self.flow = sheet, flow
        self.boxes: dict[str, Box] = {}
        self.size = 0.0

    def paint(self) -> dict[str, Box]:
        """Draw all; returns the box of every step, and of the decision."""
        sheet, flow = self.sheet, self.flow
        x0, y0, x1, y1 = sheet.canvas.safe
        w, h = x1 - x0, y1 - y0
        cells: dict[str, Point]
        n = len(flow.steps)
        if flow.layout == "down":
            columns, rows = 1, n
            sway = [sheet.rng.uniform(-0.05, 0.05) * w for _ in range(n)]
            cells = {s: (x0 + w / 2 + sway[i], y0 + h * (i + 0.5) / n)
                     for i, s in enumerate(flow.steps)}  # fmt: skip
        elif flow.layout == "across":
            columns, rows = n, 1
            sway = [sheet.rng.uniform(-0.06, 0.06) * h for _ in range(n)]
            cells = {s: (x0 + w * (i + 0.5) / n, y0 + h / 2 + sway[i])
                     for i, s in enumerate(flow.steps)}  # fmt: skip
        elif flow.layout == "snake":
            columns, rows = n // 2, 2
            cells = {}
            for i, step in enumerate(flow.steps):
                row = i // columns
                column = i % columns if row == 0 else columns - 1 - i % columns
                cells[step] = x0 + w * (column + 0.5) / columns, y0 + h * (row + 0.5) / 2
        else:
            columns, rows = 2, 4
            yes, no = flow.steps[2], flow.steps[3]
            right, left = (yes, no) if flow.yes_right else (no, yes)
            middle = x0 + w / 2
            cells = {
                flow.steps[0]: (middle, y0 + h * 0.085),
                flow.steps[1]: (middle, y0 + h * 0.315),
                flow.decision: (middle, y0 + h * 0.6),
                left: (x0 + w * 0.22, y0 + h * 0.915),
                right: (x0 + w * 0.78, y0 + h * 0.915),
            }
        cell_w, cell_h = w / columns, h / rows
        wide = 0.58 * w if columns == 1 else cell_w * (0.86 if flow.layout == "fork" else 0.78)
        high = min(cell_h * 0.62, wide * 0.62)
        # The longest label fits its box; ten is a size to measure it at.
        boxes = [sheet.canvas.text_box((0, 0), s, 10, "bold") for s in flow.steps]
        longest = max(box[2] - box[0] for box in boxes) / 10
        self.size = min(high * 0.66, 0.86 * wide / longest)
        for name, centre in cells.items():
            self._decision(name, centre) if name == flow.decision else self._step(
                name, centre, wide, high
            )
        self._arrows()
        return self.boxes

    def _fill(self, name: str) -> tuple[RGB, RGB]:
        """The colour of a box, and that of the ink that can be read on it."""
        colour = self.flow.colour_of(name)
        rgb = COLOURS[colour]
        light = colour in ("yellow", "orange")
        return (lighter(rgb, 0.12), (20, 20, 24)) if light else (rgb, (252, 252, 252))

    def _step(self, name: str, centre: Point, wide: float, high: float) -> None:
        sheet, flow = self.sheet, self.flow
        x, y = centre
        box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
        fill, ink = self._fill(name)
        radius = high * 0.45 if flow.shape == "round" else 3
        sheet.canvas.shadow((box[0] - 4, box[3] - 8, box[2] + 4, box[3] + 8), 0.3)
        sheet.canvas.rectangle(box, fill, darker(fill, 0.4), 1.8, radius=radius)
        sheet.write(centre, name, self.size, fill=ink, font="bold")
        sheet.thing("box", box, text=name, colour=flow.colour_of(name))
        self.boxes[name] = box

    def _decision(self, name: str, centre: Point) -> None:
        sheet = self.sheet
        x, y = centre
        w, h = self.size * 2.7, self.size * 1.5
        points = [(x, y - h), (x + w, y), (x, y + h), (x - w, y)]
        fill = COLOURS["white"]
        sheet.canvas.polygon(points, fill, (40, 40, 44), 2)
        sheet.write(centre, name, self.size * 0.95, fill=(20, 20, 24), font="bold")
        box = (x - w, y - h, x + w, y + h)
        sheet.thing("diamond", box, text=name, colour="white")
        self.boxes[name] = box

    def _arrow(self, points: list[Point]) -> None:
        canvas, ink = self.sheet.canvas, self.sheet.ink
        canvas.line(points, ink, 2.6)
        (xa, ya), (xb, yb) = points[-2:]
        length = max(1.0, ((xb - xa) ** 2 + (yb - ya) ** 2) ** 0.5)
        ux, uy = (xb - xa) / length, (yb - ya) / length
        size = 9.5
        canvas.polygon(
            [(xb, yb), (xb - size * ux - size * 0.55 * uy, yb - size * uy + size * 0.55 * ux),
             (xb - size * ux + size * 0.55 * uy, yb - size * uy - size * 0.55 * ux)], ink,
        )  # fmt: skip

    def _arrows(self) -> None:
        flow, boxes = self.flow, self.boxes
        if flow.layout != "fork":
            for a, b in zip(flow.steps, flow.steps[1:], strict=False):
                self._join(boxes[a], boxes[b])
            return
        self._join(boxes[flow.steps[0]], boxes[flow.steps[1]])
        self._join(boxes[flow.steps[1]], boxes[flow.decision])
        d = boxes[flow.decision]
        y = (d[1] + d[3]) / 2
        for step, word in ((flow.steps[2], "yes"), (flow.steps[3], "no")):
            end = boxes[step]
            x = (end[0] + end[2]) / 2
            way = 1 if x > (d[0] + d[2]) / 2 else -1
            start = d[2] if way > 0 else d[0]
            x = max(x, start + 12) if way > 0 else min(x, start - 12)
            self._arrow([(start, y), (x, y), (x, end[1] - 2)])
            self.sheet.write((x - way * self.size * 0.95, (y + end[1]) / 2 + self.size * 0.1), word,
                             self.size * 0.95, font="bold")  # fmt: skip

    def _join(self, a: Box, b: Box) -> None:
        """An arrow from the edge of one box to the nearest edge of the other."""
        ax, ay, bx, by = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2, (b[0] + b[2]) / 2, (b[1] + b[3]) / 2
        if b[1] > a[3]:
            self._arrow([(ax, a[3] + 2), (bx, b[1] - 2)])
        elif bx > ax:
            self._arrow([(a[2] + 2, ay), (b[0] - 2, by)])
        else:
            self._arrow([(a[0] - 2, ay), (b[2] + 2, by)])


# Words --------------------------------------------------------------------------------------


def _caption(sheet: Sheet, flow: Flow) -> None:
    surface, layout = flow.surface.name, LAYOUTS[flow.layout]
    colour, marked = flow.colour, flow.marked_colour
    if flow.layout == "fork":
        first, second, yes, no = flow.steps
        way: Words = (
            f"{first}, {second}, {flow.decision} yes {yes}, no {no}",
            f"{first}、{second}、{flow.decision}是{yes}，否{no}",
        )
    else:
        way = ", ".join(flow.steps), "、".join(flow.steps)
    sheet.caption(
        f"{colour} flowchart {layout[0]} on {surface[0]}: {way[0]}; {flow.marked} is {marked}",
        f"{surface[1]}上{layout[1]}的{CHINESE[colour]}流程图：{way[1]}；"
        f"{flow.marked}是{CHINESE[marked]}",
    )
    sheet.caption(f"a flowchart: {way[0]}", f"流程图：{way[1]}")
    sheet.caption(
        f"a process from {flow.steps[0]} to {flow.steps[-1]} in {colour} boxes",
        f"{CHINESE[colour]}框的流程，从{flow.steps[0]}到{flow.steps[-1]}",
    )
    sheet.caption(
        f"a flowchart {layout[0]} on {surface[0]}, {flow.marked} marked in {marked}",
        f"{surface[1]}上{layout[1]}的流程图，{flow.marked}标成{CHINESE[marked]}",
    )


def _ask(sheet: Sheet, flow: Flow, boxes: dict[str, Box]) -> None:
    rng, steps, fork = sheet.rng, flow.steps, flow.layout == "fork"
    chain = [*steps[:2], flow.decision] if fork else list(steps)
    step = rng.choice(steps)
    tint = flow.colour_of(step)
    sheet.pose(
        "attribute",
        (f"What colour is {step}?", f"{step}是什么颜色？"),
        (tint, CHINESE[tint]),
        boxes[step],
    )
    sheet.pose("attribute", ("What is it drawn on?", "画在什么上面？"), flow.surface.name)
    sheet.pose("count", ("How many boxes are there?", "有多少个方框？"), same(len(steps)))
    sheet.pose(
        "count",
        (f"How many boxes are {flow.colour}?", f"有多少个{CHINESE[flow.colour]}方框？"),
        same(len(steps) - 1),
    )
    sheet.pose(
        "existence", ("Is there a diamond?", "有菱形吗？"), yes_no(fork), boxes.get(flow.decision)
    )
    absent = rng.choice([s for s in STEPS if s not in steps and s != flow.decision[:-1]])
    there = rng.random() < 0.5
    name = step if there else absent
    sheet.pose(
        "existence",
        (f"Is there a step {name}?", f"有{name}这一步吗？"),
        yes_no(there),
        boxes.get(name),
    )
    i = rng.randrange(len(chain) - 1)
    sheet.pose(
        "relation",
        (f"What comes just after {chain[i]}?", f"{chain[i]}之后是什么？"),
        same(chain[i + 1]),
        boxes[chain[i + 1]],
    )
    i = rng.randrange(1, len(chain))
    sheet.pose(
        "relation",
        (f"What comes just before {chain[i]}?", f"{chain[i]}之前是什么？"),
        same(chain[i - 1]),
        boxes[chain[i - 1]],
    )
    if fork:
        sheet.pose(
            "relation",
            (f"What follows when {flow.decision} is yes?", f"{flow.decision}为是时接着是什么？"),
            same(steps[2]),
            boxes[steps[2]],
        )
        sheet.pose(
            "relation",
            (f"What follows when {flow.decision} is no?", f"{flow.decision}为否时接着是什么？"),
            same(steps[3]),
            boxes[steps[3]],
        )
        sheet.pose(
            "reading",
            ("What does the diamond say?", "菱形里写着什么？"),
            same(flow.decision),
            boxes[flow.decision],
        )
    else:
        sheet.pose(
            "reading",
            ("What is the last step?", "最后一步是什么？"),
            same(steps[-1]),
            boxes[steps[-1]],
        )
    sheet.pose(
        "reading", ("What is the first step?", "第一步是什么？"), same(steps[0]), boxes[steps[0]]
    )
    sheet.pose(
        "reading",
        (
            f"What does the {flow.marked_colour} box say?",
            f"{CHINESE[flow.marked_colour]}方框里写着什么？",
        ),
        same(flow.marked),
        boxes[flow.marked],
    )
    i, j = sorted(rng.sample(range(len(chain)), 2))
    a, b = (chain[i], chain[j]) if rng.random() < 0.5 else (chain[j], chain[i])
    sheet.pose(
        "comparison",
        (f"Which comes first, {a} or {b}?", f"{a}和{b}哪个在先？"),
        same(chain[i]),
        boxes[chain[i]],
    )
    sheet.ask_where(f"the box {step}", f"方框{step}", boxes[step])
    sheet.ask_where(
        f"the {flow.marked_colour} box", f"{CHINESE[flow.marked_colour]}方框", boxes[flow.marked]
    )
    sheet.ask_in_vain(f"What comes just after {absent}?", f"{absent}之后是什么？")
    sheet.ask_in_vain("How long does it take?", "需要多长时间？")
    if not fork:
        sheet.ask_in_vain("What does the diamond say?", "菱形里写着什么？")
    sheet.keep(12)
