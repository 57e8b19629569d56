"""Example workflows that change a story, or bring its captions from elsewhere."""

from __future__ import annotations

from dataclasses import replace

from . import parts
from .notes import note
from .parts import LLM, LOAD, OPENING
from .ui_graph import Graph, Group, Link, Node

EDITED = "Mila spots a kite in the meadow."
CHANGED = "Mila jumps for joy."
SCRIPT = f"""# The kite

## The meadow
{OPENING}

## Found
{EDITED}

## Taken
She takes the kite and smiles.

## A friend
Mila waves, for Bruno is coming.

## Given
Mila gives the kite to Bruno, who smiles.
"""

EDIT_AND_REROLL = Graph(
    "12-edit-and-reroll",
    "Edit a caption, re-roll a panel",
    note("12-edit-and-reroll"),
    (
        *parts.load(),
        parts.start("edit-and-reroll"),
        parts.tell_story(1, panels=4),
        parts.paint(Link("tell"), 2),
        Node(
            "edit",
            "SeedStory_EditCaption",
            3,
            {"story": Link("paint"), "llm": LLM, "panel": 2, "caption": EDITED},
        ),
        Node("sampling", "SeedStory_Sampling", 3, {"temperature": 0.9}),
        Node(
            "reroll",
            "SeedStory_RerollPanel",
            4,
            {
                "story": Link("edit"),
                "llm": LLM,
                "panel": 4,
                "seed": 7,
                "sampling": Link("sampling"),
            },
        ),
        replace(parts.paint(Link("reroll"), 5), key="again"),
        parts.show(Link("again"), 6),
    ),
    (
        LOAD,
        Group("2 · Tell", ("start", "tell")),
        Group("3 · Paint", ("paint",)),
        Group("4 · Change panel 2", ("edit", "sampling")),
        Group("5 · Tell panel 4 anew", ("reroll",)),
        Group("6 · Paint what is new", ("again",)),
        Group("7 · Read", ("show",)),
    ),
)

PRINT_A_BOOK = Graph(
    "14-print-a-book",
    "Change panel 3 and print the book",
    note("14-print-a-book"),
    (
        *parts.load(),
        parts.start("print-a-book"),
        parts.tell_story(1, panels=6),
        parts.paint(Link("tell"), 2),
        Node(
            "edit",
            "SeedStory_EditCaption",
            3,
            {"story": Link("paint"), "llm": LLM, "panel": 3, "caption": CHANGED},
        ),
        replace(parts.paint(Link("edit"), 4), key="again"),
        Node("book", "SeedStory_BookSettings", 5, {"title": "A Day in the Meadow"}),
        Node("press", "SeedStory_PressBook", 6, {"story": Link("again"), "book": Link("book")}),
        Node("pages", "SeedStory_BookPages", 6, {"story": Link("press"), "book": Link("book")}),
        Node("preview", "PreviewImage", 7, {"images": Link("pages")}),
    ),
    (
        LOAD,
        Group("2 · Tell", ("start", "tell")),
        Group("3 · Paint", ("paint",)),
        Group("4 · Change panel 3", ("edit",)),
        Group("5 · Paint what is new", ("again",)),
        Group("6 · The book", ("book",)),
        Group("7 · Print it", ("press", "pages")),
        Group("8 · Read", ("preview",)),
    ),
)

ANY_AUTHOR = Graph(
    "13-any-author",
    "Any author: a script becomes a picture story",
    note("13-any-author"),
    (
        *parts.load(),
        Node("read", "SeedStory_ReadScript", 1, {"text": SCRIPT, "first_is_opening": True}),
        Node(
            "start",
            "SeedStory_StartStory",
            2,
            {
                "vision": Link("world", 1),
                "text": Link("read", 1),
                "run": Link("read", 2),
                "image": Link("picture"),
            },
        ),
        parts.tell_story(2, captions=Link("read", 0)),
        parts.paint(Link("tell"), 3),
        parts.show(Link("paint"), 4),
    ),
    (
        LOAD,
        Group("2 · The script", ("read",)),
        Group("3 · Illustrate it", ("start", "tell")),
        Group("4 · Paint", ("paint",)),
        Group("5 · Read", ("show",)),
    ),
)

STORY_VIEW = Graph(
    "15-story-view",
    "Pick a panel, and go on from there",
    note("15-story-view"),
    (
        *parts.load(),
        parts.start("story-view"),
        parts.tell_story(1, panels=5),
        parts.paint(Link("tell"), 2),
        Node("view", "SeedStory_StoryView", 3, {"story": Link("paint")}, wide=560),
        Node("sampling", "SeedStory_Sampling", 4, {"temperature": 0.9}),
        Node(
            "on",
            "SeedStory_TellPanel",
            4,
            {
                "story": Link("view"),
                "llm": LLM,
                "seed": 7,
                "sampling": Link("sampling"),
            },
        ),
        replace(parts.paint(Link("on"), 5), key="again"),
        parts.show(Link("again"), 6),
    ),
    (
        LOAD,
        Group("2 · Tell", ("start", "tell")),
        Group("3 · Paint", ("paint",)),
        Group("4 · Look and pick", ("view",)),
        Group("5 · Tell on from the pick", ("sampling", "on")),
        Group("6 · Paint what is new", ("again",)),
        Group("7 · Read", ("show",)),
    ),
)
