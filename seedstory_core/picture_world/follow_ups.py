"""What may be said second in a caption."""

from __future__ import annotations

from collections.abc import Sequence

from .captions import Sentence
from .chance import mix, pick
from .effects import State
from .plots import Plot
from .steps import Wish


def follow_up(plot: Plot, first: Sentence, seen: Sequence[str], after: State, stale: bool) -> Wish:
    """What may be said next in the same caption."""
    rng = plot.rng
    sorrow = after.lost or any(act.mood == "sad" for act in first.form.acts)
    here = [name for name in after.here or () if name not in after.asleep]
    rest = [name for name in here if name not in seen]
    if after.asleep and after.time == "day" and not seen:
        return (
            Wish("wake1", after.asleep[0])
            if len(after.asleep) == 1
            else Wish("wake2", all=mix(rng, after.asleep))
        )
    wishes = [Wish("set")] if seen else []
    wishes += [Wish("set")] * (2 if stale and seen else 0)
    awake = [name for name in seen or here if name not in after.asleep]
    if awake:
        who = pick(rng, awake)
        if not sorrow:
            wishes += [Wish("nice")] if seen else []
            mood = pick(rng, ("glad1", "glad1", "wonder1"))
            wishes += [Wish(mood, who), Wish("say1", who), Wish("do1", who)]
            wishes += [] if seen else [Wish("do1", who)] * 2
        if after.holder in awake:
            wishes += [Wish("has", after.holder, prop=after.prop)] * 2
        elif after.prop and not after.lost and not after.holder:
            wishes += [Wish("lies1", who, prop=after.prop)] * 3
        elif after.lost:
            wishes += [Wish("lost1", who, prop=after.prop), Wish("sad1", who)]
    if len(awake) > 1 and not sorrow:
        group = tuple(seen or awake)
        wishes += [Wish("glad2", all=group), Wish("say2", awake[0], awake[1])]
        wishes.append(Wish("do2", awake[0], awake[1], group))
    if rest and seen:
        friend = pick(rng, rest)
        wishes += [Wish("mind", b=friend)] * (1 + 2 * sorrow)
        wishes += [Wish("react", b=friend)] * (0 if sorrow else 5)
    elif len(here) > 1 and not seen and not sorrow:
        wishes += [Wish("do2", here[0], here[1], tuple(here))] * 4
    return pick(rng, wishes) if wishes else Wish("set")
