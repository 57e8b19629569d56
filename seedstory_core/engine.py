"""The one engine protocol, and the registry of engines.

SEED-Story and the six systems that follow sit behind it: an engine adds a folder under
``engines/`` and a row in `ENGINES`; no node, no story code and no other engine changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Protocol

from torch import Tensor

from .context import ContextPolicy
from .errors import SeedStoryError
from .parts import Part, PartSpec
from .sampling import Sampling
from .types import (
    Conditioning,
    ImageFeatures,
    Opening,
    PaintSettings,
    Progress,
    Story,
    WorldRef,
    no_progress,
)
from .world import World


class Order(Enum):
    """In which order panels come into being."""

    AUTOREGRESSIVE = "autoregressive"  # one after the other, each reads the earlier ones
    JOINT = "joint"  # a fixed number at once
    PARALLEL = "parallel"  # independently of each other


class Route(Enum):
    """How pictures are painted."""

    CONDITIONING = "conditioning"  # `Engine.condition`, then any stock sampler
    SAMPLER = "sampler"  # `Engine.paint`, the engine's own sampler


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do and what it asks for.

    Attributes:
        emits: of ``text``, ``features``, ``image``: what `Engine.tell` itself makes.
        needs: of ``source_image``, ``characters``, ``previous_images``, ``llm``, ``captions``.
        size: the only (width, height) it can paint, or None.
        length: the only number of panels it can tell, or None.
    """

    order: Order
    route: Route
    emits: frozenset[str]
    needs: frozenset[str] = frozenset()
    size: tuple[int, int] | None = None
    length: int | None = None


class Engine(Protocol):
    """One story system. All methods are pure in their story: they return a new one."""

    name: str
    world: WorldRef
    capabilities: Capabilities
    parts: Mapping[str, Part]

    def encode(self, images: Sequence[Tensor]) -> ImageFeatures:
        """uint8 [H, W, 3] each -> features as `start` and feedback use them (part ``vision``)."""
        ...

    def start(self, opening: Opening) -> Story:
        """A story of one panel, the opening."""
        ...

    def tell(
        self,
        story: Story,
        caption: str | None = None,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        *,
        seed: int = 0,
        reference: bool = False,
        progress: Progress = no_progress,
    ) -> Story:
        """``story`` and one more panel; unpainted unless the engine emits images (part ``llm``).

        With ``caption`` the text is the user's and only features are made. ``sampling`` and
        ``context`` None mean the world's defaults. ``reference`` keeps quirks of the published
        scripts that are mended otherwise. An ended story comes back as it is.
        """
        ...

    def condition(self, story: Story, index: int) -> Conditioning:
        """What steers the sampler for panel ``index`` (part ``detokenizer``)."""
        ...

    def condition_features(self, features: ImageFeatures) -> Conditioning:
        """The same for bare features: batch B = N pictures."""
        ...

    def unet_patch(self) -> Mapping[str, Tensor]:
        """``{diffusers UNet key: tensor}`` the base diffusion model must carry; may be empty."""
        ...

    def paint(
        self,
        story: Story,
        indices: Sequence[int],
        settings: PaintSettings,
        progress: Progress = no_progress,
    ) -> list[Tensor]:
        """uint8 [H, W, 3] each, by the engine's own sampler (`Route.SAMPLER` only)."""
        ...

    def commit(self, story: Story, index: int, image: Tensor, feed_back: bool = False) -> Story:
        """``story`` with uint8 [H, W, 3] as the picture of panel ``index``.

        With ``feed_back`` the engine re-reads the picture, so that later panels follow it.
        """
        ...

    def park(self) -> None:
        """Move what is kept on the device between calls, as a KV cache, out of other models' way.

        Hosts call it when a piece of telling is done; the next call brings it back.
        """
        ...


#: Lets a host say how a part lives: `parts.LocalPart`, or ComfyUI's in the node layer.
Host = Callable[[PartSpec], Part]


@dataclass(frozen=True)
class EngineSpec:
    """What the registry knows of an engine without importing its models.

    Attributes:
        module: dotted path relative to this package; must offer
            ``open_engine(world: World, host: Host) -> Engine``.
    """

    name: str
    title: str
    module: str


ENGINES: dict[str, EngineSpec] = {
    "seed_story": EngineSpec("seed_story", "SEED-Story", ".engines.seed_story.engine"),
}


def open_engine(world: World, host: Host) -> Engine:
    """The engine that ``world`` was made for; each part loads when it is first used."""
    spec = ENGINES.get(world.engine)
    if spec is None:
        raise SeedStoryError(
            f"World {world.name!r} asks for the engine {world.engine!r}; this version has "
            f"{', '.join(sorted(ENGINES))}. Update the pack, or choose another world."
        )
    return import_module(spec.module, __package__).open_engine(world, host)
