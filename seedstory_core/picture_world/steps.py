"""The steps of a story, and what each of them wishes to be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .chance import mix, pick
from .effects import NEXT_TIME, State

if TYPE_CHECKING:
    from .plots import Plot


@dataclass(frozen=True)
class Wish:
    """A sentence to be told: its kind, who plays the roles, and which words the slots get."""

    kind: str
    a: str | None = None
    b: str | None = None
    all: tuple[str, ...] = ()
    prop: str | None = None
    place: str | None = None


def _go(plot: Plot, state: State, place: str | None = None) -> list[Wish]:
    place = place or plot.new_place(state)
    others = plot.others(state)
    home = place == "kitchen"
    if not others:
        if state.holder == plot.lead:
            return [Wish("gowith1", plot.lead, prop=state.prop, place=place)]
        return [Wish("gohome1" if home else "go1", plot.lead, place=place)]
    if state.holder and len(others) == 1:
        other = next(n for n in (plot.lead, *others) if n != state.holder)
        return [Wish("gowith2", state.holder, other, prop=state.prop, place=place)]
    group = mix(plot.rng, (plot.lead, *others))
    pair = (None, None) if len(group) > 2 else group
    return [Wish("gohome2" if home else "go2", *pair, all=group, place=place)]


def _home(plot: Plot, state: State) -> list[Wish]:
    return [] if state.place == "kitchen" else _go(plot, state, "kitchen")


def _meet(plot: Plot, state: State, most: int = 1) -> list[Wish]:
    who = plot.strangers(state)
    if len(state.here or ()) > most or not who:
        return []
    return [Wish("meet0" if plot.rng.random() < 0.2 else "meet", plot.lead, who[0])]


def _join(plot: Plot, state: State) -> list[Wish]:
    return _meet(plot, state, 2)


def _bring(plot: Plot, state: State) -> list[Wish]:
    who = plot.strangers(state)
    if state.prop or not who or len(state.here or ()) > 1:
        return []
    return [Wish("meetwith", plot.lead, who[0], prop=plot.new_prop(state))]


def _leave(plot: Plot, state: State) -> list[Wish]:
    others = plot.others(state)
    if not others:
        return []
    pair = (plot.lead, others[0]) if plot.rng.random() < 0.75 else (others[0], plot.lead)
    return [Wish("leave", *pair)]


def _see(plot: Plot, state: State) -> list[Wish]:
    if state.prop:
        return []
    prop, group = plot.new_prop(state), mix(plot.rng, state.here or ())
    wishes = [Wish(kind, plot.lead, prop=prop) for kind in ("see1", "see1", "see0", "get1")]
    return [*wishes, Wish("see2", all=group, prop=prop)] if len(group) > 1 else wishes


def _take(plot: Plot, state: State) -> list[Wish]:
    if not state.prop or state.holder or state.lost:
        return []
    return [Wish("take", pick(plot.rng, state.here or (plot.lead,)), prop=state.prop)]


def _give(plot: Plot, state: State) -> list[Wish]:
    others = [name for name in state.here or () if name != state.holder]
    if not state.holder or not others:
        return []
    return [Wish("give", state.holder, pick(plot.rng, others), prop=state.prop)]


def _put(plot: Plot, state: State) -> list[Wish]:
    return [Wish("put", state.holder, prop=state.prop)] if state.holder else []


def _lose(plot: Plot, state: State) -> list[Wish]:
    return [Wish("lose", state.holder, prop=state.prop)] if state.holder else []


def _search(plot: Plot, state: State) -> list[Wish]:
    if not state.lost:
        return []
    wishes = [Wish("lost1", plot.lead, prop=state.prop)]
    others = plot.others(state)
    if others:
        wishes.append(Wish("lost2", plot.lead, others[0], (plot.lead, *others), state.prop))
    return wishes


def _find(plot: Plot, state: State) -> list[Wish]:
    who = pick(plot.rng, state.here or (plot.lead,))
    return [Wish("found1", who, prop=state.prop)] if state.lost else []


def _found_by(plot: Plot, state: State) -> list[Wish]:
    who = plot.strangers(state)
    if not state.lost or not who or len(state.here or ()) > 2:
        return _find(plot, state)
    return [Wish("foundby", plot.lead, who[0], prop=state.prop)]


def _bake(plot: Plot, state: State) -> list[Wish]:
    if state.prop or state.place != "kitchen":
        return []
    return [Wish("bake", plot.lead, prop="cake")]


def _eat(plot: Plot, state: State) -> list[Wish]:
    if state.prop != "cake" or state.lost:
        return []
    here = mix(plot.rng, state.here or ())
    if len(here) == 1:
        return [Wish("eat1", here[0], prop="cake")]
    return [Wish("eat", all=here, prop="cake")]


def _dusk(plot: Plot, state: State) -> list[Wish]:
    time = NEXT_TIME[state.time or "day"]
    return [Wish(f"{time}0"), Wish(f"{time}1", pick(plot.rng, state.here or (plot.lead,)))]


def _weather(plot: Plot, state: State) -> list[Wish]:
    choices = {"clear": ("rain", "snow"), "rain": ("clear", "clear", "snow")}
    weather = pick(plot.rng, choices.get(state.weather or "", ("clear", "clear", "rain")))
    return [Wish(f"{weather}0"), Wish(f"{weather}1", pick(plot.rng, state.here or (plot.lead,)))]


def _sleep(plot: Plot, state: State) -> list[Wish]:
    here = mix(plot.rng, state.here or (plot.lead,))
    if state.holder:
        kind = "putsleep" if len(here) == 1 else "put"
        return [Wish(kind, state.holder, prop=state.prop)]
    if len(here) == 1:
        return [Wish("sleep1", here[0])]
    pair = here if len(here) == 2 else (None, None)
    return [Wish("sleep2", *pair, all=here)]


def _sleeping(plot: Plot, state: State) -> list[Wish]:
    if len(state.asleep) == 1:
        return [Wish("sleeping1", state.asleep[0])]
    return [Wish("sleeping2", all=mix(plot.rng, state.asleep))]


def _morning(plot: Plot, state: State) -> list[Wish]:
    if len(state.asleep) == 1:
        return [Wish("morning0"), Wish("morning1", state.asleep[0])]
    return [Wish("morning0"), Wish("morning2", all=mix(plot.rng, state.asleep))]


def _wake(plot: Plot, state: State) -> list[Wish]:
    if len(state.asleep) == 1:
        return [Wish("wake1", state.asleep[0])]
    return [Wish("wake2", all=mix(plot.rng, state.asleep))]


def _play(plot: Plot, state: State) -> list[Wish]:
    """Something to do; with the thing in play if there is one."""
    here = mix(plot.rng, state.here or (plot.lead,))
    somebody = here[0]
    wishes = [Wish("do1", somebody), Wish("say1", somebody)]
    if len(here) > 1:
        wishes += [Wish("do2", somebody, here[1], here)] * 3
    if state.holder:
        others = [name for name in here if name != state.holder]
        wishes += [Wish("has", state.holder, prop=state.prop)] * 3
        if others:
            wishes += [Wish("has2", state.holder, others[0], prop=state.prop)] * 4
    elif state.lost:
        return _search(plot, state)
    elif state.prop:
        wishes += [Wish("lies1", somebody, prop=state.prop), Wish("lies0", prop=state.prop)]
    return wishes


def _social(plot: Plot, state: State) -> list[Wish]:
    here = mix(plot.rng, state.here or (plot.lead,))
    if len(here) < 2:
        return []
    kinds = ("do2", "do2", "say2", "help")
    wishes = [Wish(kind, here[0], here[1], here) for kind in kinds]
    if state.holder:
        other = next(name for name in here if name != state.holder)
        wishes += [Wish("has2", state.holder, other, prop=state.prop)] * 3
    return wishes


def _help(plot: Plot, state: State) -> list[Wish]:
    others = plot.others(state)
    return [Wish("help", plot.lead, others[0])] if others else []


def _cheer(plot: Plot, state: State) -> list[Wish]:
    friends = [name for name in state.here or () if name != plot.sad]
    sad, plot.sad = plot.sad, None
    return [Wish("cheer", pick(plot.rng, friends), sad)] if friends else []


def _comfort(plot: Plot, state: State) -> list[Wish]:
    others = plot.others(state)
    return [Wish("comfort", others[0], plot.lead)] if others and state.lost else []


def _feel(plot: Plot, state: State) -> list[Wish]:
    here = pick(plot.rng, state.here or (plot.lead,))
    if state.lost:
        return [Wish("sad1", here)]
    wishes = [Wish(kind, here) for kind in ("glad1", "wonder1", "gloom1", "gloom1")]
    group = mix(plot.rng, state.here or ())
    return [*wishes, Wish("wonder2", all=group)] if len(group) > 1 else wishes


def _glad(plot: Plot, state: State) -> list[Wish]:
    here = mix(plot.rng, state.here or (plot.lead,))
    return [Wish("glad1", here[0])] if len(here) == 1 else [Wish("glad2", all=here)]


STEPS: dict[str, Callable[[Plot, State], list[Wish]]] = {
    "go": _go,
    "home": _home,
    "meet": _meet,
    "join": _join,
    "bring": _bring,
    "leave": _leave,
    "see": _see,
    "take": _take,
    "give": _give,
    "put": _put,
    "lose": _lose,
    "search": _search,
    "find": _find,
    "foundby": _found_by,
    "bake": _bake,
    "eat": _eat,
    "dusk": _dusk,
    "weather": _weather,
    "sleep": _sleep,
    "sleeping": _sleeping,
    "morning": _morning,
    "wake": _wake,
    "play": _play,
    "social": _social,
    "help": _help,
    "cheer": _cheer,
    "comfort": _comfort,
    "feel": _feel,
    "glad": _glad,
}
