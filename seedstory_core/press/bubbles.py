"""Draws balloons: where they stand on a picture, and the outline of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import atan2, cos, hypot, pi, sin

from .balloons import Balloon
from .sheets import INK, LEADING, PAPER, Point, Rect, Shape, Step, Typesetter, height_of

SOUND_COLOUR, SOUND_HALO = "#b3261e", "#ffffff"
SOUND_ANGLE, SOUND_SIZE = 8.0, 2.6
EDGES = 72  # corners of an oval
ROUND = 2.6  # exponent of the superellipse: between an oval (2) and a box
#: Share of an oval's radius by which bumps stand out of it, and how many there are.
BUMPS = {"thought": (0.08, 11), "shout": (0.22, 19)}
WIDEST = 0.46  # of the picture, for text in a balloon placed by rule
TRIES = 12  # smaller and smaller letters until the balloon suits its picture
REACH = 0.5  # of the way to its aim that a tail goes


def place(
    balloons: Sequence[Balloon], frame: Rect, setter: Typesetter, size: float, rtl: bool
) -> list[Step]:
    """The steps that draw the balloons of one picture, in the order they are read.

    Those without a place stand at the top: the first where reading begins, the next at the other
    side, lower down; sound words without a place stand at the bottom.
    """
    steps: list[Step] = []
    lows = [frame.y + 0.03 * frame.h] * 2  # next free height at the left and at the right
    turn = 1 if rtl else 0
    for balloon in balloons:
        if balloon.kind == "sound":
            steps += _sound(balloon, frame, setter, size)
            continue
        size_here, lines, half = _measure(balloon, frame, setter, size)
        if balloon.at is not None:
            middle = _point(balloon.at, frame)
        else:
            side = turn % 2
            inward = half[0] + 0.03 * frame.w
            middle = (
                frame.right - inward if side else frame.x + inward,
                max(lows[side], min(lows) if turn > (1 if rtl else 0) else lows[side]) + half[1],
            )
            turn += 1
        middle = _inside(middle, half, frame)
        lows = [max(low, middle[1] + half[1] * 0.7) for low in lows]
        aim = _point(balloon.tail or (0.5, 0.66), frame)
        steps += _outline(balloon.kind, middle, half, aim)
        text = Rect(
            middle[0] - half[0], middle[1] - height_of(len(lines), size_here) / 2, 2 * half[0], 0
        )
        steps += setter.block(lines, text, size_here, centred=True)
    return steps


def _measure(
    balloon: Balloon, frame: Rect, setter: Typesetter, size: float
) -> tuple[float, list[str], Point]:
    """Size of the letters, lines, half the width and height of a balloon that suits the frame."""
    for step in range(TRIES):
        width = frame.w * (balloon.width or min(0.84, WIDEST + 0.05 * step))
        lines, half = _around(balloon, width, setter, size)
        if half[1] * 2 <= frame.h * 0.5 and half[0] * 2 <= frame.w * 0.98:
            return size, lines, half
        size *= 0.92
    return size, *_around(balloon, frame.w * (balloon.width or 0.84), setter, size)


def _around(
    balloon: Balloon, width: float, setter: Typesetter, size: float
) -> tuple[list[str], Point]:
    """Lines, half the width and height of a balloon around text no wider than ``width``."""
    lines = setter.lines(balloon.text, width, size)
    wide = max((setter.width(line, size) for line in lines), default=size)
    high = height_of(len(lines), size)
    extra = (1.0, 1.0) if balloon.kind == "narration" else (1.22, 1.28)
    pad = size * 0.6
    out = 1 + BUMPS.get(balloon.kind, (0.0, 0))[0]
    return lines, (out * (wide / 2 * extra[0] + pad), out * (high / 2 * extra[1] + pad * 0.7))


def _point(share: tuple[float, float], frame: Rect) -> Point:
    return frame.x + share[0] * frame.w, frame.y + share[1] * frame.h


def _inside(middle: Point, half: Point, frame: Rect) -> Point:
    """``middle`` moved so that the balloon stays on its picture."""
    x = max(frame.x + half[0] + 2, min(middle[0], frame.right - half[0] - 2))
    y = max(frame.y + half[1] + 2, min(middle[1], frame.bottom - half[1] - 2))
    return x, y


def _outline(kind: str, middle: Point, half: Point, aim: Point) -> list[Step]:
    if kind == "narration":
        box = Rect(middle[0] - half[0], middle[1] - half[1], 2 * half[0], 2 * half[1])
        return [Shape(box.corners, "#fff8dc", INK, 1.0)]
    oval = _oval(middle, half, *BUMPS.get(kind, (0.0, 0)))
    if kind == "thought":
        return [Shape(oval, PAPER, INK, 1.1), *_puffs(middle, half, aim)]
    return [Shape(_with_tail(oval, middle, aim), PAPER, INK, 1.2)]


def _oval(middle: Point, half: Point, bumps: float = 0.0, count: int = 0) -> tuple[Point, ...]:
    """A superellipse whose ``count`` bumps reach out to ``half``."""
    points = []
    edges = max(EDGES, 8 * count)
    for edge in range(edges):
        angle = 2 * pi * edge / edges
        c, s = cos(angle), sin(angle)
        radius = (abs(c) ** ROUND + abs(s) ** ROUND) ** (-1 / ROUND)
        radius *= (1 + bumps * abs(sin(count * angle / 2))) / (1 + bumps)
        points.append((middle[0] + half[0] * radius * c, middle[1] + half[1] * radius * s))
    return tuple(points)


def _with_tail(oval: tuple[Point, ...], middle: Point, aim: Point) -> tuple[Point, ...]:
    """The oval with a tail in place of its corners nearest to the line to ``aim``."""
    away = hypot(aim[0] - middle[0], aim[1] - middle[1])
    towards = atan2(aim[1] - middle[1], aim[0] - middle[0])

    def turn(point: Point) -> float:
        angle = atan2(point[1] - middle[1], point[0] - middle[0]) - towards
        return abs((angle + pi) % (2 * pi) - pi)

    nearest = min(range(len(oval)), key=lambda index: turn(oval[index]))
    edge = oval[nearest]
    if away < 1.25 * hypot(edge[0] - middle[0], edge[1] - middle[1]):
        return oval  # it would point into the balloon itself
    gap = max(2, len(oval) // 30)
    ring = [oval[(nearest + gap + step) % len(oval)] for step in range(len(oval) - 2 * gap + 1)]
    tip = (edge[0] + REACH * (aim[0] - edge[0]), edge[1] + REACH * (aim[1] - edge[1]))
    return (*ring, tip)


def _puffs(middle: Point, half: Point, aim: Point) -> list[Step]:
    """Three shrinking bubbles on the way from a thought to its thinker."""
    found: list[Step] = []
    for share, size in ((0.0, 0.2), (0.45, 0.14), (0.8, 0.09)):
        reach = hypot(*half) / max(1.0, hypot(aim[0] - middle[0], aim[1] - middle[1]))
        way = min(1.0, reach * 0.9 + share * REACH * max(0.0, 1 - reach))
        at = (middle[0] + way * (aim[0] - middle[0]), middle[1] + way * (aim[1] - middle[1]))
        found.append(Shape(_oval(at, (half[1] * size, half[1] * size)), PAPER, INK, 1.0))
    return found


def _sound(balloon: Balloon, frame: Rect, setter: Typesetter, size: float) -> list[Step]:
    """Large slanting letters with a light rim."""
    large = size * SOUND_SIZE
    wide = setter.width(balloon.text, large)
    large *= min(1.0, 0.8 * frame.w / wide)
    x, y = _point(balloon.at or (0.5, 0.84), frame)
    wide = setter.width(balloon.text, large)
    box = Rect(x - wide / 2, y - large * LEADING / 2, wide, 0)
    words = setter.block([balloon.text], box, large, SOUND_COLOUR)
    return [replace(line, angle=SOUND_ANGLE, halo=SOUND_HALO) for line in words]
