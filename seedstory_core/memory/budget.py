"""The budget of a run: what each phase of a story needs, before anything is loaded.

Weights are read from the headers of the world's files, or counted on the meta device where a file
is not at hand; activations are counted on the real classes (`counting.py`); keys and values follow
from the most rows that the context policy keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..context import ContextPolicy, Window, context_rows, restore
from ..errors import SeedStoryError
from ..kv_cache import STEP
from ..world import World
from .loading import Loading, name_of
from .models import (
    PAINTED_BY,
    TOLD_BY,
    as_key,
    engine_memory,
    engine_pass,
    part_weights,
    unet_pass,
    vae_pass,
)
from .painting import PainterShapes

CAPTION = 64  # word pieces of a long caption, its mark included; SEED-Story's take about 50
BRANCHES = 2  # of guidance, in one pass of the UNet
PHASES = ("see", "tell", "condition", "paint", "decode")


@dataclass(frozen=True)
class Run:
    """What is going to be run.

    Attributes:
        context: the policy that the next panel is read with.
        panels: of the whole story, the opening included; None: no end is known.
        caption: word pieces of a long caption.
        new_tokens: the most tokens of a panel (`Sampling.max_new_tokens`), for which the engine
            asks its host for room.
        stories: told at once, each with rows of its own.
        size: pictures in pixels (width, height); None: the world's own.
        paint: whether the story is painted too.
        pictures: painted at once.
    """

    context: ContextPolicy = Window()
    panels: int | None = None
    caption: int = CAPTION
    new_tokens: int = 500
    stories: int = 1
    size: tuple[int, int] | None = None
    paint: bool = True
    pictures: int = 1


@dataclass(frozen=True)
class Phase:
    """What one phase needs, in bytes.

    Attributes:
        name: of `PHASES`. ``model``: whose weights. ``precision``: what they are kept in.
        kept: keys and values. ``working``: activations.
        beside: weights of other models that cannot leave meanwhile.
        buffer: for one layer's weights as they are cast or brought, when not all are there.
    """

    name: str
    model: str
    precision: str
    weights: int
    working: int
    kept: int = 0
    beside: int = 0
    buffer: int = 0

    @property
    def peak(self) -> int:
        """With all weights on the device."""
        return self.weights + self.kept + self.working + self.beside


@dataclass(frozen=True)
class Budget:
    """What a run needs.

    Attributes:
        rows: the most rows of keys and values that a story keeps.
        phases: in the order of the flow. ``tiled``: the last one in tiles, where that can be done.
        stories_at_once: the most stories that the engine tells in one batch.
    """

    world: str
    rows: int
    phases: tuple[Phase, ...]
    tiled: Phase | None = None
    stories_at_once: int = 1

    def phase(self, name: str) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)

    @property
    def peak(self) -> int:
        """Of the most demanding phase."""
        return max(phase.peak for phase in self.phases)


def default_context(world: World) -> ContextPolicy:
    """What panels of ``world`` are read with when nobody says."""
    wanted = world.defaults.get("context")
    return Window() if wanted is None else restore(wanted)


@dataclass(frozen=True)
class KnownModel:
    """What a host knows of a model that it has already, in bytes; None where it does not."""

    weights: int | None = None
    working: int | None = None
    precision: str = ""


Known = Mapping[str, KnownModel]  #: by the name of the phase; ``tiles``: of decoding in tiles


def budget(world: World, run: Run, loading: Loading, known: Known | None = None) -> Budget:
    """What ``run`` of ``world`` needs under a host that loads as ``loading`` says.

    Args:
        known: by phase, what the host knows better than a count does.

    Raises:
        SeedStoryError: a file of the world is damaged, or its sizes contradict each other.
    """
    counts = _Counts(world, run, loading)
    try:
        phases = [counts.told(name) for name in TOLD_BY]
        tiled = None
        if run.paint:
            phases += [counts.paint(), counts.decode(tiled=False)]
            if loading.tiles and not counts.shapes.drawn:
                tiled = _corrected(counts.decode(tiled=True), known or {}, "tiles")
        phases = counts.together([_corrected(phase, known or {}, phase.name) for phase in phases])
    except SeedStoryError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SeedStoryError(
            f"World {world.name!r} cannot be counted ({error}). Its world.json is damaged."
        ) from error
    at_once = counts.engine.stories_at_once(run.context)
    return Budget(world.name, counts.rows, tuple(phases), tiled, at_once)


class _Counts:
    """The phases of one run."""

    def __init__(self, world: World, run: Run, loading: Loading) -> None:
        self.world, self.run, self.loading = world, run, loading
        self.sizes = as_key(world.sizes)
        self.engine = engine_memory(world.engine, self.sizes)
        self.shapes = PainterShapes.of(world, run.size)
        panel, limit = run.caption + self.engine.picture_rows, self.engine.max_rows
        most = context_rows(run.context, panel, run.panels)
        self.read = limit if most is None else min(limit, most)  # at once, a caption being given
        self.rows = min(limit, max(self.read, self.read - panel + run.new_tokens))

    def told(self, name: str) -> Phase:
        """A phase of one of the engine's own parts."""
        part, read = TOLD_BY[name], self.read if name == "tell" else 0
        weights, loading = part_weights(self.world, part), self.loading
        working = engine_pass(self.world.engine, self.sizes, part, loading.dtype, read)
        kept = 0
        if name == "tell":
            rows = -(-self.rows // STEP) * STEP  # as the cache grows
            context = self.run.context
            stories = min(self.run.stories, self.engine.stories_at_once(context))
            kept = stories * self.engine.kept_bytes(rows, loading.dtype, context)
            working *= stories
        return Phase(
            name=name,
            model=part,
            precision=loading.precision(weights),
            weights=loading.bytes(weights),
            working=working + loading.cast_bytes(weights, loading.dtype),
            kept=kept,
            buffer=loading.buffer_bytes(weights),
        )

    def paint(self) -> Phase:
        """One step of sampling."""
        loading, shapes = self.loading, self.shapes
        weights, dtype = part_weights(self.world, "unet"), loading.unet_dtype
        batch = BRANCHES * self.run.pictures
        working = unet_pass(shapes, dtype, batch)
        _, height, width = shapes.latent
        return Phase(
            name="paint",
            model="unet",
            precision=name_of(dtype),
            weights=weights.bytes_in(dtype),
            working=max(working, loading.unet_estimate(batch * height * width)),
            buffer=loading.buffer_bytes(weights),
        )

    def decode(self, tiled: bool) -> Phase:
        """Latents to pixels."""
        loading, shapes = self.loading, self.shapes
        dtype = loading.vae_dtype(shapes.upcast, shapes.drawn)
        working = vae_pass(shapes, dtype, tiled)
        _, height, width = shapes.tile if tiled else shapes.latent
        weights = part_weights(self.world, "vae")
        size = weights.bytes_in(dtype)
        if not shapes.drawn:
            working = max(working, loading.vae_estimate(height * width, dtype))
        elif loading.leaves:  # a part like the engine's own
            size, working = loading.bytes(weights), working + loading.cast_bytes(weights, dtype)
        return Phase(
            name="decode",
            model="vae in tiles" if tiled else "vae",
            precision=name_of(dtype),
            weights=size,
            working=working,
        )

    def together(self, phases: list[Phase]) -> list[Phase]:
        """Where models do not leave for each other, all that paint are there at once."""
        if self.loading.leaves or not self.run.paint:
            return phases
        painting = {"condition", *PAINTED_BY}
        total = sum(phase.weights for phase in phases if phase.name in painting)
        return [
            replace(phase, beside=total - phase.weights) if phase.name in painting else phase
            for phase in phases
        ]


def _corrected(phase: Phase, known: Known, name: str) -> Phase:
    model = known.get(name, KnownModel())
    return replace(
        phase,
        weights=phase.weights if model.weights is None else model.weights,
        working=phase.working if model.working is None else model.working,
        precision=model.precision or phase.precision,
    )
