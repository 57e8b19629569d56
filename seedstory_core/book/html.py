"""A readable page beside the pictures of a story folder: ``index.html``, without scripts.

It is plain enough for phones, follows the reader's dark mode, and can be opened while the story is
still being told: it is written anew after every panel.
"""

from __future__ import annotations

import html
from pathlib import Path

from torch import Tensor

from ..files import atomic_write_bytes
from ..images import pixel_size
from ..story import pixel_digest
from ..types import Panel, Story

PAGE = "index.html"
SMALL = 256  # pixels; smaller pictures are mostly pixel art

#: Pictures beside the page, our own style, and nothing else: no script, no form, no other address.
#: A page opened from the disk has an address of its own for each file, so ``file:`` is named, too.
POLICY = (
    "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)

_squares: dict[str, int] = {}  # `pixel_size` by digest, since the page is written again and again

STYLE = """
:root { color-scheme: light dark; --paper: #faf6ee; --ink: #2b2622; --soft: #8a8178;
  --card: #fffdf8; --line: #e6ded0; --note: #fff1c9; }
@media (prefers-color-scheme: dark) { :root { --paper: #191715; --ink: #ece5da; --soft: #9a9085;
  --card: #23201d; --line: #37322c; --note: #43391d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1.15rem/1.55 Georgia, "Iowan Old Style", "Noto Serif", "Noto Serif CJK SC", serif; }
main { max-width: calc(642px + 2rem); margin: 0 auto; padding: 2.5rem 1rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .25rem; text-wrap: balance;
  overflow-wrap: anywhere; }
.count { color: var(--soft); font-size: .95rem; margin: 0 0 1.5rem; }
.note { background: var(--note); border-radius: .6rem; padding: .7rem 1rem; font-size: .95rem;
  margin: 0 0 2rem; }
figure { margin: 0 0 2.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .8rem; overflow: hidden; }
figure img { display: block; width: 100%; height: auto; }
figure img.pixels { image-rendering: pixelated; margin: 0 auto;
  width: max(round(down, 100%, var(--own, 64px)), min(100%, var(--own, 64px))); }
.blank { aspect-ratio: var(--shape, 1); display: grid; place-items: center; color: var(--soft);
  background: repeating-linear-gradient(45deg, var(--card) 0 1rem, var(--paper) 1rem 2rem); }
figcaption { padding: .9rem 1.1rem 1rem; display: flex; gap: .8rem; white-space: pre-line;
  overflow-wrap: anywhere; }
figcaption b { color: var(--soft); font-weight: normal; font-variant-numeric: tabular-nums; }
figcaption span { flex: 1; min-width: 0; }
.closing { text-align: center; font-style: italic; }
footer { color: var(--soft); font-size: .85rem; border-top: 1px solid var(--line);
  padding-top: 1rem; overflow-wrap: anywhere; }
@media print { figure { break-inside: avoid; } body { background: white; } }
"""


def write_html(story: Story, folder: Path, notice: str = "") -> Path:
    """Write ``folder/index.html`` for a story saved in ``folder``, whole or not at all.

    Args:
        notice: a sentence readers must see (`World.notice`).

    Returns: the path of the page.
    """
    shape = next(
        (panel.image.shape for panel in reversed(story.panels) if panel.image is not None),
        (1, 1, 3),
    )
    figures = [_figure(index, panel, shape) for index, panel in enumerate(story.panels)]
    painted = sum(panel.image is not None for panel in story.panels)
    title = html.escape(_clean(story.run))
    count = (
        f"{len(story)} panels" if painted == len(story) else f"{painted} of {len(story)} painted"
    )
    parts = [
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{title}</title>",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        f'<h1 dir="auto">{title}</h1>\n<p class="count">{count}</p>',
        f'<p class="note">{html.escape(_clean(notice))}</p>' if notice else "",
        *figures,
        f'<p class="closing" dir="auto">{html.escape(_clean(story.closing))}</p>'
        if story.closing
        else "",
        f"<footer>Told by {html.escape(_clean(story.engine))} with the world "
        f"{html.escape(_clean(story.world.name))}.</footer>\n</main>\n</body>\n</html>\n",
    ]
    path = folder / PAGE
    text = "\n".join(part for part in parts if part)
    atomic_write_bytes(path, text.encode("utf-8", "replace"))
    return path


def _figure(index: int, panel: Panel, shape: tuple[int, ...]) -> str:
    caption = html.escape(_clean(panel.caption))
    if panel.image is None:
        ratio = f"{shape[1]} / {shape[0]}"
        picture = f'<div class="blank" style="--shape: {ratio}">not painted yet</div>'
    else:
        height, width = panel.image.shape[:2]
        kind = _pixels(panel.image)
        # The digest makes browsers fetch a picture again that was painted anew.
        source = f"panels/{index:03d}.png?{pixel_digest(panel.image)[:8]}"
        picture = (
            f'<img src="{source}" width="{width}" height="{height}"{kind} alt="{caption}" '
            'loading="lazy">'
        )
    return (
        f'<figure id="panel-{index}">\n{picture}\n<figcaption><b>{index}</b>'
        f'<span dir="auto">{caption}</span></figcaption>\n</figure>'
    )


def _pixels(image: Tensor) -> str:
    """How a picture is shown that consists of visible pixels: at whole multiples of its own size.

    Such are small pictures, and exact enlargements of small ones.
    """
    digest, width = pixel_digest(image), int(image.shape[1])
    if digest not in _squares:
        _squares[digest] = pixel_size(image)
    square = _squares[digest]
    if square == 1 and max(image.shape) > SMALL:
        return ""
    return f' class="pixels" style="--own: {width // square}px"'


def _clean(text: str) -> str:
    """``text`` without control characters, which HTML forbids; line breaks stay."""
    return "".join(char for char in text if char == "\n" or char.isprintable() or char.isspace())
