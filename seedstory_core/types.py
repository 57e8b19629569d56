"""The frozen values that travel along the graph: features, panels, stories, conditioning.

Every value here is immutable and knows no model, no file and no host. Tensors inside are on the
CPU and must never be written to: ComfyUI hands one object to all consumers of a node.

Letters used for shapes in the whole package: B batch, L tokens, N images, D width, H W C picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

#: Where a panel came from. ``opening``: given by the user; ``told``: caption and features by the
#: model; ``illustrated``: the user's caption, the model's features.
ORIGINS = ("opening", "told", "illustrated")


class Progress(Protocol):
    """Called at every step of long work; raising from it cancels the work within that step."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


def no_progress(done: int, total: int, note: str = "") -> None:
    """The `Progress` of a caller who does not want to know."""


def freeze(mapping: Mapping | None) -> Mapping:
    """A read-only view of a copy of ``mapping``."""
    return MappingProxyType(dict(mapping or {}))


@dataclass(frozen=True)
class WorldRef:
    """Which weights a story was told with: bare folder name and digest of the world's files."""

    name: str
    digest: str


@dataclass(frozen=True, eq=False, repr=False)
class ImageFeatures:
    """Picture features in one engine's feature space.

    Attributes:
        tensor: [N, L, D] on the CPU, one row of L tokens per picture.
        space: name of the feature space, ``<engine>.<kind>`` as in ``Panel.features``.
        world: the world whose weights made them.
    """

    tensor: Tensor
    space: str
    world: WorldRef

    def __repr__(self) -> str:
        return f"ImageFeatures({self.space}, {tuple(self.tensor.shape)}, world {self.world.name})"

    def __len__(self) -> int:
        return self.tensor.shape[0]


@dataclass(frozen=True, eq=False, repr=False)
class Character:
    """Somebody who recurs: a name, a phrase that describes the looks, reference pictures.

    Attributes:
        images: uint8 [H, W, 3] each.
        features: ``{space: [L, D]}``, derived by an engine from the pictures.
    """

    name: str
    phrase: str = ""
    images: tuple[Tensor, ...] = ()
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", freeze(self.features))

    def __repr__(self) -> str:
        return f"Character({self.name!r}, {len(self.images)} pictures)"


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """One panel of a story.

    Attributes:
        caption: the text as readers see it.
        text: the text as the model reads it again in the next prompt (SEED-Story keeps ``[INST]``).
        origin: one of `ORIGINS`.
        token_ids: the ids the model emitted for this panel, in order (empty for an opening).
        features: ``{space: [L, D]}``; what the next panel reads instead of the picture.
        image: uint8 [H, W, 3], or None while it is not painted.
        seed: the seed that told it; None where no seed took part.
        provenance: plain JSON: sampling, context, versions; ``paint`` says how it was painted.
        uid: hash chain over what was said in this panel and all before it, and over pictures
            that were read (not over painted ones, nor over features, which re-telling repeats
            only up to rounding; see `story.next_uid`).
    """

    caption: str
    text: str
    origin: str
    token_ids: tuple[int, ...] = ()
    features: Mapping[str, Tensor] = field(default_factory=dict)
    image: Tensor | None = None
    seed: int | None = None
    provenance: Mapping[str, Json] = field(default_factory=dict)
    uid: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", freeze(self.features))
        object.__setattr__(self, "provenance", freeze(self.provenance))
        assert self.origin in ORIGINS, self.origin

    def __repr__(self) -> str:
        painted = "painted" if self.image is not None else "unpainted"
        return f"Panel({self.caption[:40]!r}, {self.origin}, {painted})"


@dataclass(frozen=True, eq=False, repr=False)
class Story:
    """A story so far. Append-only: operations in `story.py` return new stories.

    Attributes:
        panels: in order; panel 0 is the opening.
        engine: registry name of the engine that tells it.
        world: the weights it is told with.
        run: name of the run folder the story is kept in, chosen at the start.
        closing: last words the model said without a picture; a story that has them is over.
    """

    panels: tuple[Panel, ...]
    engine: str
    world: WorldRef
    run: str
    characters: tuple[Character, ...] = ()
    closing: str | None = None

    @property
    def ended(self) -> bool:
        return self.closing is not None

    def __len__(self) -> int:
        return len(self.panels)

    def __repr__(self) -> str:
        state = "ended" if self.ended else "open"
        return f"Story({self.run!r}, {len(self.panels)} panels, {state}, world {self.world.name})"


@dataclass(frozen=True, eq=False, repr=False)
class Opening:
    """What a user gives to begin with: a sentence, and for most engines a picture.

    Attributes:
        text: the first caption.
        image: uint8 [H, W, 3] or None.
        run: wanted name of the run folder.
    """

    text: str
    image: Tensor | None = None
    run: str = "story"
    characters: tuple[Character, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Cond:
    """One text-like condition for a diffusion model, active between two fractions of sampling.

    Attributes:
        tokens: [B, L, D] cross-attention tokens.
        pooled: [B, D'] pooled vector, or None for models without one.
        start: first fraction of the sampling it acts in, 0 to 1; ``end``: the last.
    """

    tokens: Tensor
    pooled: Tensor | None = None
    start: float = 0.0
    end: float = 1.0

    def __repr__(self) -> str:
        return f"Cond({tuple(self.tokens.shape)}, {self.start:g}..{self.end:g})"


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What the sampler is steered by: one list to go towards, one to go away from."""

    positive: tuple[Cond, ...]
    negative: tuple[Cond, ...]


@dataclass(frozen=True)
class PaintSettings:
    """How to paint panels: sampling steps, guidance scale, seed, and pixels as (width, height).

    ``size`` None means the world's own size. ``same_noise`` paints every panel from one noise, as
    the reference does (seed for all); otherwise panel i uses ``seed + i``. ``solver`` is one of
    `painter.solvers.SOLVERS`. ``guidance_until`` is the share of the steps that are guided; the
    rest asks the model once instead of twice.
    """

    steps: int = 50
    guidance: float = 7.5
    seed: int = 42
    size: tuple[int, int] | None = None
    same_noise: bool = True
    solver: str = "euler"
    guidance_until: float = 1.0

    def seed_of(self, index: int) -> int:
        """The noise seed of panel ``index``."""
        return self.seed if self.same_noise else self.seed + index


def with_panel(story: Story, panel: Panel) -> Story:
    """``story`` with ``panel`` appended as it is; `story.append` sets its uid first."""
    return replace(story, panels=(*story.panels, panel))


def to_uint8(image: Tensor) -> Tensor:
    """float [..., H, W, 3] in 0..1 -> uint8, rounded to nearest; uint8 passes through."""
    if image.dtype == torch.uint8:
        return image
    return (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
