"""The pages with pictures: frames from a template's grid, captions below or inside them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

from ..types import Panel
from .bubbles import place
from .captions import SHRINKS, Plan, caption_size, fitted, spread_text
from .focus import focus
from .sheets import EMPTY, INK, SOFT, Picture, Rect, Shape, Sheet, Step, height_of
from .templates import Areas, cells

MOST_CAPTION = 0.55  # of a cell's height
MOST_INSIDE = 0.42  # of a panel's height that its caption's box may take
BOX = "#fffdf5"  # of a caption on a picture


class Plates:
    """Makes pages of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.setter = plan.setter
        self.template = plan.settings.template
        self.rtl = self.template.reading == "rtl"

    def title(self, title: str, author: str, notice: str) -> Sheet:
        """Title, the first picture, author, and what readers must know."""
        live, steps = self.plan.live, []
        size = min(live.w / 9, live.h / 7, 34.0)
        lines = self.setter.lines(title, live.w, size)
        while height_of(len(lines), size) > live.h * 0.3 and size > 10:
            size *= 0.9
            lines = self.setter.lines(title, live.w, size)
        lines = self.setter.balanced(title, live.w, size)
        top = live.y + live.h * 0.06
        steps += self.setter.block(lines, Rect(live.x, top, live.w, 0), size, centred=True)
        top += height_of(len(lines), size) + size * 0.5
        small = max(7.0, min(size * 0.45, 13.0))
        foot = self.setter.lines(notice, live.w, 7.5)[:6]
        low = live.bottom - height_of(len(foot), 7.5) - small
        steps += self.setter.block(
            foot, Rect(live.x, low + small, live.w, 0), 7.5, SOFT, centred=True
        )
        by = self.setter.lines(author, live.w, small)[:3]
        low -= height_of(len(by), small) + small * 0.5
        steps += self.setter.block(by, Rect(live.x, low, live.w, 0), small, centred=True)
        first = next((i for i, p in enumerate(self.plan.story.panels) if p.image is not None), None)
        if first is not None and low - top > 40:
            room = Rect(live.x + live.w * 0.1, top, live.w * 0.8, low - top - small)
            steps += self._picture(first, room, cover=False)[0]
        return Sheet(tuple(steps))

    def words(self, texts: Sequence[str]) -> Sheet:
        """A page of small text."""
        live = self.plan.live
        lines = [line for text in texts for line in self.setter.lines(text, live.w, 9.0)]
        return Sheet(tuple(self.setter.block(lines, live, 9.0, SOFT, centred=True)))

    def plate(self, panel: int) -> Sheet:
        """One picture alone on its page, with its balloons."""
        frame = self._frames(("a",))[0]
        steps, seen = self._picture(panel, frame)
        return Sheet((*steps, *self._balloons(panel, seen)), (panel,))

    def panels(self, areas: Areas, panels: Sequence[int]) -> list[Sheet]:
        """A page of panels, and pages for captions that were too long for it."""
        frames = self._frames(areas)[: len(panels)]
        inside = self.template.caption == "inside"
        make = self._with_boxes if inside else self._with_captions
        steps: list[Step] = []
        rests: list[str] = []
        for shrink in SHRINKS:
            steps, rests = make(areas, frames, panels, caption_size(self.plan) * shrink)
            if not any(rests):
                break
        more = [sheet for rest in rests if rest for sheet in spread_text(self.plan, rest)]
        return [Sheet(tuple(steps), tuple(panels)), *more]

    def _frames(self, areas: Areas) -> list[Rect]:
        """The box of each panel, on the live area, or on the whole page where panels bleed."""
        width, height = self.plan.settings.paper.trim
        live = Rect(0, 0, width, height) if self.template.bleed else self.plan.live
        gutter = self.template.gutter
        across = _stops(len(areas[0]), self.template.columns, live.w, gutter)
        down = _stops(len(areas), self.template.rows, live.h, gutter)
        frames = []
        for left, top, right, bottom in cells(areas):
            x, y = across[left][0], down[top][0]
            box = Rect(live.x + x, live.y + y, across[right - 1][1] - x, down[bottom - 1][1] - y)
            frames.append(self._bled(box) if self.template.bleed else box)
        return frames

    def _bled(self, box: Rect) -> Rect:
        """``box`` continued into the bleed where it touches the page's edge."""
        paper = self.plan.settings.paper
        width, height = paper.trim
        left = paper.over if box.x < 0.5 else 0.0
        top = paper.over if box.y < 0.5 else 0.0
        right = paper.over if box.right > width - 0.5 else 0.0
        low = paper.over if box.bottom > height - 0.5 else 0.0
        return Rect(box.x - left, box.y - top, box.w + left + right, box.h + top + low)

    def _with_captions(
        self, areas: Areas, frames: list[Rect], panels: Sequence[int], size: float
    ) -> tuple[list[Step], list[str]]:
        """Captions under the pictures; panels that end in one row share the caption's height."""
        texts = [self._kept(panel) for panel in panels]
        pad = size * 0.55
        sets = []
        for frame, text in zip(frames, texts, strict=True):
            room = frame.h * MOST_CAPTION - pad
            sets.append(fitted(self.setter, text, frame.w, room, size) if text else ([], ""))
        ends = [bottom for _, _, _, bottom in cells(areas)][: len(panels)]
        lines = [
            max(len(sets[other][0]) for other in range(len(panels)) if ends[other] == end)
            for end in ends
        ]
        steps: list[Step] = []
        for frame, panel, (shown, _), count in zip(frames, panels, sets, lines, strict=True):
            below = height_of(count, size) + pad if count else 0.0
            drawn, seen = self._picture(panel, Rect(frame.x, frame.y, frame.w, frame.h - below))
            steps += [*drawn, *self._balloons(panel, seen)]
            low = frame.bottom - below + pad if self.template.cover else seen.bottom + pad
            alone = len(cells(areas)) == 1 and not self.template.cover
            low = min(low, frame.bottom - height_of(len(shown), size))
            box = Rect(seen.x if alone else frame.x, low, seen.w if alone else frame.w, 0)
            box = box if box.w >= frame.w * 0.98 else Rect(frame.x, low, frame.w, 0)
            steps += self.setter.block(shown, box, size)
        return steps, [rest for _, rest in sets]

    def _with_boxes(
        self, areas: Areas, frames: list[Rect], panels: Sequence[int], size: float
    ) -> tuple[list[Step], list[str]]:
        """Captions in boxes under the pictures, within their frames."""
        steps: list[Step] = []
        rests = []
        pad = size * 0.45
        for frame, panel in zip(frames, panels, strict=True):
            text = self._kept(panel)
            room = frame.h * MOST_INSIDE - 2 * pad
            shown, rest = (
                fitted(self.setter, text, frame.w - 4 * pad, room, size) if text else ([], "")
            )
            rests.append(rest)
            high = height_of(len(shown), size) + pad if shown else 0.0
            drawn, seen = self._picture(panel, Rect(frame.x, frame.y, frame.w, frame.h - high))
            steps += [*drawn, *self._balloons(panel, seen)]
            if not shown:
                continue
            box = Rect(seen.x, frame.bottom - high, seen.w, high)
            steps.append(Shape(box.corners, BOX, INK, self.template.frame or 0.75))
            inner = Rect(box.x + 2 * pad, box.y + pad / 2, box.w - 4 * pad, 0)
            steps += self.setter.block(shown, inner, size)
        return steps, rests

    def _kept(self, panel: int) -> str:
        return "" if self.template.caption == "none" else self.plan.spoken[panel][0]

    def _balloons(self, panel: int, frame: Rect) -> list[Step]:
        size = min(caption_size(self.plan), 13.0)
        return place(self.plan.spoken[panel][1], frame, self.setter, size, self.rtl)

    def _picture(
        self, index: int, frame: Rect, cover: bool | None = None
    ) -> tuple[list[Step], Rect]:
        """The picture in its frame (an empty field where it is not painted), and what is seen."""
        panel: Panel = self.plan.story.panels[index]
        line = self.template.frame
        cover = self.template.cover if cover is None else cover
        if panel.image is None:
            field = frame.fit(*self._usual)
            field = frame if cover else Rect(field.x, frame.y, field.w, field.h)
            return [Shape(field.corners, EMPTY, SOFT, 0.75)], field
        height, width = panel.image.shape[:2]
        if cover:
            kept = focus(panel.image, frame.w, frame.h)
            whole, seen = frame.around(width, height, kept), frame
        else:
            whole = frame.fit(width, height)
            whole = seen = Rect(whole.x, frame.y, whole.w, whole.h)
        steps: list[Step] = [Picture(index, whole, seen)]
        if line:
            steps.append(Shape(seen.corners, "", INK, line))
        return steps, seen

    @cached_property
    def _usual(self) -> tuple[int, int]:
        """Width and height of the story's newest picture, for fields that wait for one."""
        pictures = [p.image for p in self.plan.story.panels if p.image is not None]
        return (pictures[-1].shape[1], pictures[-1].shape[0]) if pictures else (1, 1)


def _stops(
    count: int, weights: tuple[float, ...], size: float, gutter: float
) -> list[tuple[float, float]]:
    """Where each column (or row) begins and ends; weights that lack are 1."""
    shares = [*weights, *[1.0] * count][:count]
    gutter = min(gutter, size / (2 * count))
    unit = (size - gutter * (count - 1)) / sum(shares)
    ends = list(accumulate(share * unit for share in shares))
    return [
        (end - share * unit + gutter * i, end + gutter * i)
        for i, (share, end) in enumerate(zip(shares, ends, strict=True))
    ]
