"""A page's shapes and text as SVG, for EPUB and HTML: vector, selectable, exactly as measured.

Every line carries its measured length (``textLength``), so that it keeps its place and width even
where a reader takes another font. All text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from ..book.fonts import Face, unusable
from ..book.text import Setter, right_to_left
from .sheets import Shape, Step, Words


def drawing(
    steps: Sequence[Step], size: tuple[float, float], faces: Mapping[str, Face], names: Sequence
) -> str:
    """An ``<svg>`` of all shapes and words of ``steps``; empty where there are none.

    Args:
        size: of the page in points.
        names: the faces in the order of their family names ``f0``, ``f1``, ...
    """
    parts = []
    for step in steps:
        if isinstance(step, Shape):
            parts.append(_shape(step))
        elif isinstance(step, Words):
            parts.append(_words(step, faces, names))
    if not parts:
        return ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:.2f} {size[1]:.2f}">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _shape(step: Shape) -> str:
    points = " ".join(f"{x:.2f},{y:.2f}" for x, y in step.points)
    line = f' stroke="{step.stroke}" stroke-width="{step.width:g}"' if step.stroke else ""
    return (
        f'<polygon points="{points}" fill="{step.fill or "none"}"{line} stroke-linejoin="round"/>'
    )


def _words(step: Words, faces: Mapping[str, Face], names: Sequence) -> str:
    """One ``<text>`` for each font of the line, from left to right."""
    setter = Setter(faces, 100)
    runs = setter.runs(step.text)
    try:
        widths = [face.at(100).getlength(run) * step.size / 100 for face, run in runs]
    except OSError as error:
        raise unusable((face.path for face, _ in runs), error) from error
    way = ' direction="rtl" unicode-bidi="embed"' if right_to_left(step.text) else ""
    turn = f' transform="rotate({-step.angle:g} {step.x:.2f} {step.y:.2f})"' if step.angle else ""
    halo = (
        f' stroke="{step.halo}" stroke-width="{step.size * 0.14:.2f}" paint-order="stroke"'
        if step.halo
        else ""
    )
    parts, x = [], step.x
    for (face, run), wide in zip(runs, widths, strict=True):
        start = x + wide if way else x  # text that runs leftwards begins at its right end
        parts.append(
            f'<text x="{start:.2f}" y="{step.y:.2f}" font-size="{step.size:.2f}" '
            f'font-family="f{names.index(face)}, serif" fill="{step.colour}" '
            f'textLength="{max(wide, 0.01):.2f}" lengthAdjust="spacingAndGlyphs" '
            f'xml:space="preserve"{way}{turn}{halo}>{html.escape(clean(run))}</text>'
        )
        x += wide
    return "".join(parts)


def clean(text: str) -> str:
    """``text`` without what XML forbids: control characters, surrogates, non-characters."""
    return "".join(
        char
        for char in text
        if char in "\t\n"
        or (char.isprintable() or char.isspace())
        and char >= " "
        and char not in "\x7f\ufffe\uffff"
    )
