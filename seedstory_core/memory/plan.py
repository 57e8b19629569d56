"""A plan: a budget held against a device, and what is chosen so that the run fits.

Two-phase is the rule: a story is told first and painted afterwards, so one big model is needed at a
time. Where even that one is too large, a host that can keeps a share of its layers on the device
and brings the rest as they run. Nothing is loaded for a plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..context import ContextPolicy, Window
from ..errors import SeedStoryError
from ..files import human
from ..sampling import describe
from ..world import World
from .budget import Budget, Known, Phase, Run, budget
from .device import GIB, Device
from .loading import Loading
from .models import part_weights
from .weights import QUANTISED

#: What a card of that size has for a run: without what the driver and the desktop take.
PRESETS: Mapping[str, int | None] = {
    "auto": None,
    "8 GB": 7 * GIB,
    "12 GB": 11 * GIB,
    "16 GB": 15 * GIB,
    "24 GB": 23 * GIB,
}
SMALLER = (6, 4, 3, 2, 1)  # panels in view, tried where nobody has chosen a context


@dataclass(frozen=True)
class Fit:
    """One phase on the device; ``resident`` bytes of its weights stay there, None: it fits not."""

    phase: Phase
    resident: int | None

    @property
    def whole(self) -> bool:
        return self.resident == self.phase.weights

    @property
    def streamed(self) -> int:
        """Bytes of weights that come over for every pass."""
        return 0 if self.resident is None else self.phase.weights - self.resident


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """How a run goes on a device.

    Attributes:
        preset: of `PRESETS`. ``usable``: bytes that the run may take.
        run: with the context that is planned for.
        fits: of every phase, in the order of the flow.
        tiled: decode in tiles.
        together: the LLM and the UNet can both stay, so nothing is moved between the phases.
        advice: what would make it fit, or faster.
        reserve: bytes of the device to be left free, where the preset is smaller than it.
        size: of a picture, (width, height).
        stories_at_once: the most stories that the engine tells in one batch.
    """

    world: str
    preset: str
    device: Device
    usable: int
    run: Run
    rows: int
    fits: tuple[Fit, ...]
    tiled: bool
    together: bool
    advice: tuple[str, ...]
    reserve: int
    size: tuple[int, int]
    stories_at_once: int

    def __repr__(self) -> str:
        return f"Plan({self.world!r}, {self.preset}, {'fits' if self.ok else 'does not fit'})"

    @property
    def ok(self) -> bool:
        return all(fit.resident is not None for fit in self.fits)

    @property
    def problem(self) -> str:
        """What does not fit, what it needs and what is there; "" where all fits."""
        bad = [fit.phase for fit in self.fits if fit.resident is None]
        if not bad:
            return ""
        worst = max(bad, key=lambda phase: phase.peak)
        parts = {
            "weights": worst.weights + worst.beside,
            "keys and values": worst.kept,
            "to work in": worst.working,
        }
        needs = ", ".join(f"{human(size)} {name}" for name, size in parts.items() if size)
        return (
            f"This run of {self.world!r} would not fit: the phase {worst.name!r} needs "
            f"{human(worst.peak)} ({needs}), and {human(self.usable)} of "
            f"{human(self.device.total)} can be used on {self.device.name} (preset "
            f"{self.preset!r})."
        )

    def check(self, context: ContextPolicy | None = None) -> None:
        """Refuse a run that would not fit, or that is not the one planned for.

        Args:
            context: what the run will be told with; None: the plan's own.

        Raises:
            SeedStoryError: what was needed, what is there, and what to do.
        """
        if context is not None and context != self.run.context:
            raise SeedStoryError(
                f"The memory plan was made for {self.run.context}, but the run is given {context}. "
                "Connect the same context to both, or to the memory plan only."
            )
        if not self.ok:
            raise SeedStoryError(" ".join((self.problem, *self.advice)))

    def check_stories(self, stories: int) -> None:
        """Refuse to tell more stories together than were planned for.

        Raises:
            SeedStoryError: how many were.
        """
        if min(stories, self.stories_at_once) > self.run.stories:
            raise SeedStoryError(
                f"The memory plan was made for {self.run.stories} told together, but the run tells "
                f"{stories} stories. Set 'stories' of the memory plan to {stories}."
            )

    def check_painting(self, size: tuple[int, int], pictures: int = 1) -> None:
        """Refuse to paint what would not fit, or more than was planned for.

        Args:
            size: of a picture, (width, height).
            pictures: painted at once.

        Raises:
            SeedStoryError: what was planned for.
        """
        self.check()
        (width, height), run = self.size, self.run
        if run.paint and size[0] * size[1] <= width * height and pictures <= run.pictures:
            return
        made = f"{run.pictures} of {width} x {height} at once" if run.paint else "telling only"
        raise SeedStoryError(
            f"The memory plan was made for {made}, but the run paints {pictures} of "
            f"{size[0]} x {size[1]} at once. Set paint, width, height and at_once of the memory "
            "plan as those of the run."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; sizes in bytes."""
        rows = [
            {**asdict(fit.phase), "peak": fit.phase.peak, "resident": fit.resident}
            for fit in self.fits
        ]
        return {
            "world": self.world,
            "preset": self.preset,
            "device": asdict(self.device),
            "usable": self.usable,
            "context": describe(self.run.context),
            "rows": self.rows,
            "phases": rows,
            "tiled": self.tiled,
            "together": self.together,
            "fits": self.ok,
            "problem": self.problem,
            "advice": list(self.advice),
        }


def make_plan(
    world: World,
    run: Run,
    loading: Loading,
    device: Device,
    preset: str = "auto",
    known: Known | None = None,
    free_context: bool = False,
    quantised: tuple[str, ...] = (),
) -> Plan:
    """Plan ``run`` of ``world`` on ``device``.

    Args:
        known: what the host knows of some models already.
        free_context: nobody has chosen ``run.context``, so a smaller window may be taken.
        quantised: precisions of the LLM, of `QUANTISED`, that the host offers.

    Raises:
        SeedStoryError: no such preset, or a damaged world.
    """
    if preset not in PRESETS:
        raise SeedStoryError(f"A memory preset is {', '.join(PRESETS)}; got {preset!r}.")
    limit = PRESETS[preset]
    room = device.free if limit is None else min(device.free, limit)
    usable = max(0, room - loading.margin)
    known = known or {}
    for chosen in _contexts(run, free_context):
        need = budget(world, chosen, loading, known)
        tell = need.phase("tell")
        if tell is None or _fit(tell, usable, loading).resident is not None:
            break
    else:
        chosen, need = run, budget(world, run, loading, known)
    phases, tiled = _decoding(need, usable, loading)
    fits = tuple(_fit(phase, usable, loading) for phase in phases)
    offers = {name: part_weights(world, "llm").quantised(name) for name in quantised}
    return Plan(
        world=world.name,
        preset=preset,
        device=device,
        usable=usable,
        run=chosen,
        rows=need.rows,
        fits=fits,
        tiled=tiled,
        together=_together(need, usable, loading),
        advice=tuple(dict.fromkeys(_advice(fits, usable, loading, offers))),
        reserve=0 if limit is None else max(0, device.free - limit),
        size=run.size or world.panel_size,
        stories_at_once=need.stories_at_once,
    )


def _contexts(run: Run, free: bool) -> Iterator[Run]:
    """The run as it is wished, and with fewer and fewer panels in view."""
    yield run
    if free:
        for size in SMALLER:
            if not isinstance(run.context, Window) or size < run.context.size:
                yield replace(run, context=Window(size))


def _fit(phase: Phase, usable: int, loading: Loading) -> Fit:
    needed = max(phase.kept + phase.working, loading.floor) + phase.beside
    if phase.weights + needed <= usable:
        return Fit(phase, phase.weights)
    room = usable - needed - phase.buffer
    return Fit(phase, room if loading.streams and room >= 0 else None)


def _decoding(need: Budget, usable: int, loading: Loading) -> tuple[tuple[Phase, ...], bool]:
    """The phases, the last one in tiles where the UNet could not stay beside it otherwise."""
    whole, paint = need.phase("decode"), need.phase("paint")
    if need.tiled is None or whole is None or paint is None:
        return need.phases, False
    if paint.weights + whole.weights + max(whole.working, loading.floor) <= usable:
        return need.phases, False
    return (*need.phases[:-1], need.tiled), True


def _together(need: Budget, usable: int, loading: Loading) -> bool:
    """Whether the LLM with its rows and the UNet fit beside each other."""
    tell, paint = need.phase("tell"), need.phase("paint")
    if tell is None or paint is None or not loading.leaves:
        return False  # the library drops one before it loads the other
    working = max(tell.working, paint.working, loading.floor)
    return tell.weights + tell.kept + paint.weights + working <= usable


def _advice(
    fits: tuple[Fit, ...], usable: int, loading: Loading, offers: Mapping[str, int]
) -> Iterator[str]:
    """What would make it fit, or faster; the most effective first."""
    for fit in fits:
        phase = fit.phase
        if fit.whole:
            continue
        if phase.name == "tell":
            needed = max(phase.kept + phase.working, loading.floor)
            for name, size in offers.items():
                if name in QUANTISED and size + needed <= usable:
                    yield (
                        f"Quantised to {name} (Load World, --quantise) the LLM takes "
                        f"{human(size)} and fits whole."
                    )
                    break
            if fit.resident is None and phase.kept > phase.working:
                yield "Let fewer panels stay in view (a smaller Window), or tell fewer at once."
        if fit.resident is None and phase.name in ("paint", "decode"):
            yield "Paint smaller pictures or fewer at once, or tell without painting."
        if fit.resident is None and not loading.streams:
            yield "ComfyUI can run it in parts; here, --device cpu is slower and has the RAM."
