"""How one panel is told again: as it was told before, where nothing else is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..context import ContextPolicy
from ..context import restore as restore_context
from ..engine import Engine
from ..errors import SeedStoryError
from ..sampling import Sampling
from ..sampling import restore as restore_sampling
from ..types import Panel, Progress, Story, no_progress

KEEP, TELL = "keep", "tell"
#: What becomes of the panels behind a changed one: they stay as they are, or are told anew.
LATER = (KEEP, TELL)

OnPanel = Callable[[Story], object]


def keeps_nothing(story: Story) -> None:
    """The `OnPanel` of a caller who waits for the end."""


@dataclass(frozen=True)
class How:
    """How panels are told again.

    Attributes:
        sampling, context: None: as the panel was told before, else as the world says.
        later: one of `LATER`.
        progress: reports the panel that is being told.
        on_panel: given the story after every panel that is told anew, so that it can be kept.
    """

    sampling: Sampling | None = None
    context: ContextPolicy | None = None
    later: str = KEEP
    progress: Progress = no_progress
    on_panel: OnPanel = keeps_nothing

    def __post_init__(self) -> None:
        if self.later not in LATER:
            raise SeedStoryError(
                f"Later panels are kept ({KEEP!r}) or told anew ({TELL!r}), got {self.later!r}."
            )


def tell_panel(
    engine: Engine,
    before: Story,
    index: int,
    caption: str | None,
    like: Panel,
    seed: int,
    plan: How,
) -> Panel:
    """The panel that the engine tells behind ``before``, as ``like`` was told where ``plan`` says
    nothing else."""
    longer = tell_next(engine, before, caption, like, seed, plan)
    if len(longer) == len(before):
        raise SeedStoryError(
            f"The model ended the story instead of telling panel {index} ({longer.closing!r:.80}). "
            "Use another seed, or give the panel's caption."
        )
    return longer.panels[-1]


def tell_next(
    engine: Engine, before: Story, caption: str | None, like: Panel, seed: int, plan: How
) -> Story:
    """``before`` and one more panel, or with closing words where the model paints no more."""
    sampling, context, reference = recorded(like)
    return engine.tell(
        before,
        caption,
        plan.sampling or sampling,
        plan.context or context,
        seed=seed,
        reference=reference,
        progress=plan.progress,
    )


def recorded(panel: Panel) -> tuple[Sampling | None, ContextPolicy | None, bool]:
    """How ``panel`` was told, as far as its provenance says.

    Raises:
        SeedStoryError: a sampling or policy that this version does not know.
    """
    sampling, context = panel.provenance.get("sampling"), panel.provenance.get("context")
    return (
        restore_sampling(sampling) if isinstance(sampling, dict) else None,
        restore_context(context) if isinstance(context, dict) else None,
        panel.provenance.get("reference") is True,
    )
