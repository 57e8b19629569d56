"""Captions: how sentences are written down, read back, and what each of them means.

A caption is one or two sentences. Each sentence is an instance of a `Form`: a text with slots, and
its meaning as data. Stories fill forms and the reader compiles the same forms to patterns, so the
two cannot diverge. How a caption and what was told before determine the picture:

* The picture shows those whom this caption mentions, from left to right in order of first mention.
  A pronoun mentions: "he", "she" are the only such one of this caption, else of the last one;
  "they" are all of this caption so far if these are two or more, else all of the last one.
* Who is not said to do anything stands; whose mood is not said is calm; who speaks is talking.
  Where a caption says it twice of the same actor, the later sentence counts.
* Place, time and weather stay until the text changes them. Whoever goes to a place is shown there,
  and only those who go along are there then, until others come.
* One thing is in play at a time. A held thing stays held, and is in the picture with its holder,
  until it is given, put down or lost. A thing on the ground is in the picture only when the caption
  mentions it, and is left behind when the place changes. A lost thing is nowhere to be seen.
* Days go round: day, sunset, night, day. Who sleeps does nothing else before waking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .words import A_PROP, AIR, AT, NAMES, SKY, THE_PLACE, THE_PROP, WHEN

_NAME = "|".join(NAMES)
_SUBJECT = re.compile(r'(^|, |, and |[.!?]" |Soon |Then |At last )\{a\}')
_SLOT = re.compile(r"\{(\w+)\}")


def _any_of(words: Mapping[str, object]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


#: What may stand in a slot. ``a`` is a subject and ``o`` an object, either may be a pronoun; ``b``
#: is a name; ``all`` are two or three.
SLOTS: dict[str, str] = {
    "a": f"{_NAME}|he|she",
    "b": _NAME,
    "o": f"{_NAME}|him|her",
    "all": f"(?:{_NAME}), (?:{_NAME}) and (?:{_NAME})|(?:{_NAME}) and (?:{_NAME})|they",
    "his": "his|her",
    "prop": _any_of(THE_PROP),
    "aprop": _any_of(A_PROP),
    "place": _any_of(THE_PLACE),
    "at": _any_of(AT),
    "when": _any_of(WHEN),
    "sky": _any_of(SKY),
    "air": _any_of(AIR),
}
ROLES = ("a", "b", "o", "all")


@dataclass(frozen=True)
class Act:
    """What one role of a sentence does; None is unsaid."""

    role: str
    action: str | None = None
    mood: str | None = None


@dataclass(frozen=True)
class Form:
    """One way to say something.

    Attributes:
        kind: what stories choose it by.
        effects: names of `meaning.EFFECTS`, with a role where one is needed (``take:a``).
        says: what the words say beside the slots, such as ``{"place": "forest"}``.
        was: what must have been so before.
        outdoors: stories tell it outdoors only.
    """

    kind: str
    text: str
    acts: tuple[Act, ...] = ()
    effects: tuple[str, ...] = ()
    says: Mapping[str, str] = field(default_factory=dict)
    was: Mapping[str, str] = field(default_factory=dict)
    outdoors: bool = False

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """Slots in the order of the text."""
        return tuple(_SLOT.findall(self.text))

    @cached_property
    def roles(self) -> frozenset[str]:
        """Slots that mention somebody."""
        return frozenset(self.slots) & frozenset(ROLES)

    @cached_property
    def tells(self) -> frozenset[str]:
        """Which of place, time, weather and prop these words name."""
        named = {"at": "place", "place": "place", "when": "time", "sky": "weather"}
        told = {named[slot] for slot in self.slots if slot in named} | set(self.says)
        if "air" in self.slots:
            told |= {"time", "weather"}
        return frozenset(told | ({"prop"} if {"prop", "aprop"} & set(self.slots) else set()))

    @cached_property
    def may_be_pronoun(self) -> bool:
        """Whether ``a`` stands where "she" is right, not "to she" or "says she"."""
        return _SUBJECT.search(self.text) is not None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches every instance of this form, a group for each slot."""
        parts, end = [], 0
        for match in _SLOT.finditer(self.text):
            parts.append(re.escape(self.text[end : match.start()]))
            choices = SLOTS[match[1]]
            if match[1] == "a" and not self.may_be_pronoun:
                choices = _NAME
            first = self.text[: match.start()] in ("", '"')
            parts.append(f"(?P<{match[1]}>{_capitalised(choices) if first else choices})")
            end = match.end()
        return re.compile("".join((*parts, re.escape(self.text[end:]))))

    def write(self, slots: Mapping[str, str]) -> str:
        """The sentence with these words in its slots."""
        text = self.text.format_map(slots)
        first = 1 if text[0] == '"' else 0
        return text[:first] + text[first].upper() + text[first + 1 :]


def _capitalised(choices: str) -> str:
    return re.sub(r"(^|\|)([a-z])", lambda match: match[1] + match[2].upper(), choices)


@dataclass(frozen=True)
class Sentence:
    """A form with words in its slots."""

    form: Form
    slots: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.form.write(self.slots)


def acts_of(acts: str) -> tuple[Act, ...]:
    """``"a:walk b:/happy"`` -> what each role does.

    >>> acts_of("a:walk")
    (Act(role='a', action='walk', mood=None),)
    """
    made = []
    for act in acts.split():
        role, what = act.split(":")
        action, _, mood = what.partition("/")
        made.append(Act(role, action or None, mood or None))
    return tuple(made)


def forms(
    kind: str,
    acts: str,
    effects: str,
    *texts: str,
    was: Mapping[str, str] | None = None,
    outdoors: bool = False,
    **says: str,
) -> tuple[Form, ...]:
    """Several ways to say the same."""
    doing, changing = acts_of(acts), tuple(effects.split())
    return tuple(Form(kind, text, doing, changing, says, was or {}, outdoors) for text in texts)
