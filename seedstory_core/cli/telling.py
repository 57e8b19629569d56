"""One run of ``tell``: what it has so far, and how it goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import torch

from ..book.html import PAGE, write_html
from ..context import ContextPolicy
from ..engine import Engine, Order, Route, open_engine
from ..errors import SeedStoryError
from ..files import PART, sweep_parts
from ..hosts import LocalPart, local_host
from ..known_words import unknown_note
from ..locks import LOCK, folder_lock
from ..memory import kept_by
from ..names import safe_name
from ..painter import batches, open_painter
from ..quantised import Format
from ..sampling import Sampling, describe
from ..story import attach_image, unpainted
from ..story_file import SUFFIX, pack_folder
from ..story_reader import MANIFEST, load_story
from ..story_store import save_story
from ..types import Opening, PaintSettings, Story
from ..world import World
from .progress import Bar
from .tell_memory import stays_mapped
from .tell_resume import OPTIONS

RUNNING = ".telling"  # the lock of a whole run; one save holds `LOCK`
LOCKS = (LOCK, RUNNING)


def say_unknown(engine: Engine, *texts: str) -> None:
    """Name the words that the world does not know, before anything is told."""
    note = unknown_note(engine, *texts)
    if note:
        print(f"Note: {note}")


class Run:
    """A story growing in one folder.

    Attributes:
        story: what is in the folder; without panels before `begin`.
        seed: of panel 0.
        shared: how many panels another story tells as well, and the seed of its panel 0.
    """

    def __init__(
        self,
        folder: Path,
        world: World,
        device: torch.device,
        dtype: torch.dtype,
        sampling: Sampling,
        context: ContextPolicy,
        seed: int = 0,
        reference: bool = False,
        form: Format | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.folder, self.world, self.device, self.dtype = folder, world, device, dtype
        self.sampling, self.context = sampling, context
        self.seed, self.reference = seed, reference
        self.shared: tuple[int, int] = (0, seed)
        mapped = stays_mapped(world, device)
        self.engine = engine or open_engine(world, local_host(device, dtype, mapped, form))
        self.story = Story((), world.engine, world.ref, folder.name)
        self._held = contextlib.ExitStack()

    def seed_of(self, index: int) -> int:
        """The seed that tells panel ``index``."""
        panels, seed = self.shared
        return (seed if index <= panels else self.seed) + index

    @property
    def blank(self) -> int:
        """Panels without a picture."""
        return len(unpainted(self.story))

    def missing(self, panels: int) -> int:
        """How many of ``panels`` panels are still to be told."""
        return 0 if self.story.ended else max(0, panels + 1 - len(self.story))

    def begin(self, opening: Opening, captions: Sequence[str]) -> None:
        """Start the story, or take up what the folder holds of this very story.

        Raises:
            SeedStoryError: the folder holds another story, or files of something else.
        """
        fresh = self.engine.start(opening)
        say_unknown(self.engine, opening.text, *captions)
        self.release()  # the LLM needs the room
        self.take_up(fresh, captions)

    def take_up(self, fresh: Story, captions: Sequence[str]) -> None:
        """As `begin`, from a story of one panel; the folder is this run's alone until `close`."""
        self._check_free()
        busy = "Wait until it has ended, or give --out another folder; nothing was changed."
        self._held.enter_context(folder_lock(self.folder, busy, patience=0, name=RUNNING))
        if (self.folder / MANIFEST).exists():
            known = load_story(self.folder)
            self._check_same(fresh, known, captions)
            self._sweep()
            self.story = known
            told = len(known) - 1
            print(f"Going on with {self.folder}: {told} told, {told - self.blank} painted.")
            return
        self._sweep()
        self.keep(fresh)

    def _sweep(self) -> None:
        """Remove what a killed run has left, while nobody is in the middle of a save."""
        with folder_lock(self.folder):
            sweep_parts(self.folder, below=True)

    def _check_free(self) -> None:
        """Refuse a folder of something else; what a killed run has left is none."""
        if not self.folder.is_dir() or (self.folder / MANIFEST).exists():
            return
        ours = {"features", "panels", "characters", PAGE, OPTIONS}
        names = {path.name for path in self.folder.iterdir()}
        others = {name for name in names - ours if name not in LOCKS and not name.endswith(PART)}
        if others:
            raise SeedStoryError(
                f"{self.folder} holds other files ({', '.join(sorted(others)[:3])}...). Give --out "
                "a new or empty folder."
            )

    def tell(self, panels: int, captions: Sequence[str], bar: Bar) -> None:
        """Tell up to ``panels`` panels after the opening; each is kept at once."""
        while len(self.story) <= panels and not self.story.ended:
            index = len(self.story)
            told = self.engine.tell(
                self.story,
                captions[index - 1] if index <= len(captions) else None,
                self.sampling,
                self.context,
                seed=self.seed_of(index),
                reference=self.reference,
                progress=bar,
            )
            self.keep(told)
            bar.finish(told.closing if told.closing is not None else told.panels[-1].caption)
        bar.clear()
        self.release()  # the painter needs the room

    def paint(self, settings: PaintSettings, base: Path | None, bar: Bar, at_once: int = 1) -> None:
        """Paint what has no picture yet; each picture is kept as soon as it is finished.

        Args:
            at_once: pictures in one call of the painter; 0: as many as it is worth and fit.
        """
        todo = unpainted(self.story)
        if not todo:
            return
        joint = self.engine.capabilities.order is Order.JOINT
        if self.engine.capabilities.route is Route.SAMPLER:
            for indices in [list(todo)] if joint else [[index] for index in todo]:
                pictures = self.engine.paint(self.story, indices, settings, bar)
                for index, picture in zip(indices, pictures, strict=True):
                    self.keep(attach_image(self.story, index, picture, describe(settings)))
                    bar.finish(f"panels/{index:03d}.png")
            return
        bar(0, 1, "loading the painter")
        patch = self.engine.unet_patch()
        painter = open_painter(self.world, base, self.device, self.dtype, patch)
        at_once = at_once or painter.fitting(settings)
        for some in batches(todo, at_once):
            pictures = painter.paint(self.engine, self.story, some, settings, bar, at_once=at_once)
            for index, picture in zip(some, pictures, strict=True):
                paint = painter.describe(settings, index)
                self.keep(attach_image(self.story, index, picture, paint))
                bar.finish(f"panels/{index:03d}.png")

    def release(self) -> None:
        """Drop all weights, and keep no rows on the device; the next use brings them again."""
        keeper = kept_by(self.engine)
        if keeper is not None:
            keeper.park()
        for part in self.engine.parts.values():
            if isinstance(part, LocalPart):
                part.release()

    def summary(self, panels: int) -> str:
        """What is kept so far and how to go on; empty before anything is."""
        if not self.story.panels:
            return ""
        told = len(self.story) - 1
        if not (self.folder / MANIFEST).is_file():
            return (
                f"{told} of {panels} panels were told, but {self.folder} is gone and they with it: "
                "it was removed or renamed meanwhile. If it is elsewhere, go on there (--out)."
            )
        return (
            f"{told} of {panels} panels are told and {told - self.blank} painted; they are kept in "
            f"{self.folder}. The same command goes on from there."
        )

    def ending(self, page: str) -> str:
        """The last line of a run that came to its end; ``page`` is the name of its page."""
        told = len(self.story) - 1
        over = " The world ended the story here." if self.story.ended else ""
        panels = "1 panel" if told == 1 else f"{told} panels"
        return f"{panels} told, {told - self.blank} painted.{over} Read it: {self.folder / page}"

    def keep(self, story: Story) -> None:
        """Bring the folder up to ``story``."""
        save_story(self.folder, story)
        self.story = story
        write_html(story, self.folder, self.world.notice)

    def pack(self) -> None:
        """Leave the story as one file beside its pictures."""
        if self.story.panels:
            name = safe_name(self.folder.resolve().name)
            pack_folder(self.folder, self.folder / f"{name}{SUFFIX}")

    def close(self) -> None:
        """Let others write to the folder again."""
        self._held.close()

    def _check_same(self, fresh: Story, known: Story, captions: Sequence[str]) -> None:
        """Refuse a folder whose story this command would not have told."""
        if known.world.digest != fresh.world.digest:
            reason = f"it was told with another world, {known.world.name!r}"
        elif not known.panels or known.panels[0].uid != fresh.panels[0].uid:
            reason = "it begins with another picture or sentence"
        else:
            reason = self._difference(known, captions)
        if reason:
            raise SeedStoryError(
                f"{self.folder} holds another story: {reason}. Give --out another folder, or "
                "repeat the command that began that story."
            )

    def _difference(self, known: Story, captions: Sequence[str]) -> str:
        wanted = {
            "sampling": describe(self.sampling),
            "context": describe(self.context),
            "reference": self.reference,
        }
        for index, panel in enumerate(known.panels[1:], start=1):
            given = captions[index - 1] if index <= len(captions) else None
            if (panel.origin == "illustrated") != (given is not None):
                return f"panel {index} was {panel.origin}"
            if given is not None and panel.caption != given:
                return f"panel {index} has another caption"
            if given is None and panel.seed != self.seed_of(index):
                return f"panel {index} was told with seed {panel.seed}, not {self.seed_of(index)}"
            other = [key for key in wanted if panel.provenance.get(key, wanted[key]) != wanted[key]]
            if other:
                return f"panel {index} was told with another {other[0]}"
        return ""
