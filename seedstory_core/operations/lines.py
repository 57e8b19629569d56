"""Operations on the line of panels itself; no model takes part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile

from ..errors import SeedStoryError
from ..story import check_index
from ..types import Character, Panel, Story
from .chain import chained, check_fits, close, noted


def rewind(story: Story, index: int) -> Story:
    """``story`` up to panel ``index``, which is the last one then; an ended story is open again.

    Telling on with the same seeds tells the same story again.
    """
    index = check_index(story, index)
    return replace(story, panels=story.panels[: index + 1], closing=None)


def branch(story: Story, index: int, run: str | None = None) -> Story:
    """As `rewind`, under a name of its own, so that what is told on it has its own folder.

    Args:
        run: name of the branch; None: ``<name>-branch-<index>``.
    """
    index = check_index(story, index)
    name = f"{story.run}-branch-{index}" if run is None else run
    if not name.strip():
        raise SeedStoryError("A branch needs a name: its story is kept under it.")
    return replace(rewind(story, index), run=name)


def insert(story: Story, index: int, panel: Panel) -> Story:
    """``story`` with ``panel`` in place ``index``; what was there, and all behind it, moves on.

    Args:
        index: 1 to the number of panels, where it comes last.

    Raises:
        SeedStoryError: before the opening or behind the end, or the panel lacks features that the
            others have.
    """
    index = check_place(story, index)
    check_fits(story, panel, "the new panel")
    new = noted(panel, "insert", place=index)
    return chained(story, (*story.panels[:index], new, *story.panels[index:]))


def check_place(story: Story, index: int) -> int:
    """``index`` if a panel can come in there: behind the opening, at most behind the last one."""
    if not 1 <= index <= len(story):
        raise SeedStoryError(
            f"A panel can be inserted at 1 to {len(story)} of story {story.run!r}, where "
            f"{len(story)} is behind its last one; got {index}. The opening stays first."
        )
    return index


def remove(story: Story, indices: Iterable[int]) -> Story:
    """``story`` without some panels; one that is kept elsewhere loses nothing.

    Raises:
        SeedStoryError: no such panel, or the opening, from which everything is told.
    """
    gone = {check_index(story, index) for index in indices}
    if 0 in gone:
        raise SeedStoryError(
            f"Panel 0 of story {story.run!r} is its opening, which the others are told from; it "
            "cannot be removed. Edit its caption, or start another story."
        )
    return chained(story, [p for index, p in enumerate(story.panels) if index not in gone])


def reorder(story: Story, order: Sequence[int]) -> Story:
    """``story`` with its panels in another order; those that change their place note from where.

    Args:
        order: of each new place, the present index of its panel. The opening stays first.

    Raises:
        SeedStoryError: a panel is named twice or not at all, or the opening would move.
    """
    wanted = [check_index(story, index) for index in order]
    if sorted(wanted) != list(range(len(story))):
        twice = sorted({index for index in wanted if wanted.count(index) > 1})
        lacking = sorted(set(range(len(story))) - set(wanted))
        raise SeedStoryError(
            f"An order names each of the panels 0 to {len(story) - 1} once; named twice are "
            f"{twice[:10]}, missing are {lacking[:10]}."
        )
    if wanted[0] != 0:
        raise SeedStoryError(
            f"Panel 0 of story {story.run!r} is its opening, which the others are told from; the "
            "order must begin with 0."
        )
    moved = [
        story.panels[source] if source == place else _moved(story.panels[source], source, place)
        for place, source in enumerate(wanted)
    ]
    return chained(story, moved)


def _moved(panel: Panel, source: int, place: int) -> Panel:
    return noted(panel, "reorder", place=source)


def join(stories: Sequence[Story], run: str | None = None) -> Story:
    """Several stories one behind the other, what they begin with in common only once.

    Captions, pictures and features come along as they are; so do the characters. The closing words
    are those of the last story.

    Args:
        run: name of the joined story; None: ``<first name>-joined``.

    Raises:
        SeedStoryError: no story, or stories of different worlds, whose features do not mix.
    """
    if not stories:
        raise SeedStoryError("There is no story to join: give at least one.")
    first = stories[0]
    panels = list(first.panels)
    for number, story in enumerate(stories[1:], start=1):
        _check_same_world(first, story)
        start = max(_common(story, before) for before in stories[:number])
        for index, panel in enumerate(story.panels[start:], start=start):
            check_fits(first, panel, f"panel {index} of story {story.run!r}")
            panels.append(noted(panel, "join", run=story.run, place=index))
    name = f"{first.run}-joined" if run is None else run
    named = replace(first, run=name, closing=stories[-1].closing, characters=_cast(stories))
    return chained(named, panels)


def _common(one: Story, other: Story) -> int:
    """With how many panels both stories begin."""
    pairs = zip(one.panels, other.panels, strict=False)
    return sum(1 for _ in takewhile(lambda pair: _same(*pair), pairs))


def _same(one: Panel, other: Panel) -> bool:
    """The same words after the same panels, and features that are the same but for rounding."""
    if one is other:
        return True
    if one.uid != other.uid or one.features.keys() != other.features.keys():
        return False
    return all(close(one.features[space], row) for space, row in other.features.items())


def _check_same_world(first: Story, other: Story) -> None:
    if (first.engine, first.world.digest) != (other.engine, other.world.digest):
        raise SeedStoryError(
            f"Story {other.run!r} is of the world {other.world.name!r} "
            f"({other.world.digest[:12]}), story {first.run!r} of {first.world.name!r} "
            f"({first.world.digest[:12]}). Features of one world mean nothing to another, so they "
            "cannot become one story: join stories of one world, or print two books."
        )


def _cast(stories: Sequence[Story]) -> tuple[Character, ...]:
    """The characters of all stories, the first of each name."""
    found: dict[str, Character] = {}
    for story in stories:
        for character in story.characters:
            found.setdefault(character.name, character)
    return tuple(found.values())
