"""The engine: stories in, stories out. Wires the stages; holds no maths.

A picture becomes features (`vision`), panels become a prompt (`prompt`), the LLM tells caption and
features of the next panel (`telling`), features become SDXL's conditioning (`detokenizer`). The LLM
never sees the painted picture: later panels read the features it told (gen_george.py:247).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...context import ContextPolicy, Window
from ...context import restore as restore_context
from ...engine import Capabilities, Host, Order, Route
from ...errors import SeedStoryError
from ...parts import Part
from ...sampling import REFERENCE, Sampling, describe
from ...sampling import restore as restore_sampling
from ...story import append, attach_image, check_features, check_index, check_story
from ...types import (
    Conditioning,
    ImageFeatures,
    Json,
    Opening,
    PaintSettings,
    Panel,
    Progress,
    Story,
    WorldRef,
    no_progress,
)
from ...world import World
from .conditioning import UNET, Conditioner
from .config import SeedStoryConfig
from .features import SPACE, checked, encoded, panel_features
from .futures import tell_together
from .panels import fed_back, with_told
from .parts import part_specs
from .prompt import Appended, BlindCut, Layout, Prompt, Trained, Vocabulary, clean, display
from .reader import Reader
from .telling import Teller, Told
from .tokenizer import Tokenizer
from .unknown import unknown_words

NAME = "seed_story"
MAX_SEED = 2**64 - 1


class SeedStoryEngine:
    """SEED-Story with the weights of one world; see `engine.Engine` for the methods.

    Args:
        world: whose weights the parts hold.
        parts: ``vision``, ``llm`` and ``detokenizer``.
        constants: safetensors file with ``negative.*`` and ``unet.*``.
        sampling, context: what `tell` uses when it is not told.
    """

    name = NAME
    capabilities = Capabilities(
        order=Order.AUTOREGRESSIVE,
        route=Route.CONDITIONING,
        emits=frozenset({"text", "features"}),
        needs=frozenset({"source_image", "llm"}),
    )

    def __init__(
        self,
        world: WorldRef,
        config: SeedStoryConfig,
        tokenizer: Tokenizer,
        parts: Mapping[str, Part[Any]],
        constants: Path,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
    ) -> None:
        self.world, self.config, self.parts = world, config, parts
        self.words = Vocabulary(tokenizer, config.image_tokens, config.llm.vocab)
        self._teller = Teller(config, self.words, parts["llm"])
        self._conditioner = Conditioner(parts["detokenizer"], constants)
        self._sampling, self._context = sampling or Sampling(), context or Window()

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of ``text`` that this world can only spell; see `unknown.unknown_words`."""
        return unknown_words(self.words.tokenizer, text)

    def encode(self, images: Sequence[Tensor]) -> ImageFeatures:
        """uint8 [H, W, 3] each -> [N, 256, D] of the space `SPACE`."""
        if not images:
            raise SeedStoryError("There is no picture to encode: give at least one.")
        features = encoded(self.parts["vision"], self.config.vision, images)
        check_features({SPACE: features}, "the encoded picture")
        return ImageFeatures(features, SPACE, self.world)

    def start(self, opening: Opening) -> Story:
        """A story of one panel: the user's sentence and picture.

        Raises:
            SeedStoryError: no picture, no words, or more words than the model can read.
        """
        if opening.image is None:
            raise SeedStoryError("SEED-Story begins with a picture and a sentence; give a picture.")
        text = self.words.check_caption(opening.text, "opening text")
        ids = self.words.tokenizer.encode(text + self.words.image)
        self._teller.check_room((self.words.bos, *ids), caption=text, what="opening text")
        panel = Panel(
            caption=text,
            text=text,
            origin="opening",
            features={SPACE: self.encode([opening.image]).tensor[0]},
            image=opening.image,
            provenance=self._who(),
        )
        empty = Story((), NAME, self.world, opening.run, opening.characters)
        return append(empty, panel)

    def prompt(
        self, story: Story, caption: str | None, context: ContextPolicy, reference: bool = False
    ) -> Prompt:
        """What the LLM reads before it says the next panel."""
        layout: Layout = Trained()
        if reference:
            layout = BlindCut() if caption is None else Appended()
        texts = [panel.text for panel in story.panels]
        return layout.prompt(self.words, texts, context, caption)

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
        """``story`` and one more panel, or with its closing words where the model paints no more.

        With ``reference`` the scripts' prompts are rebuilt with their quirks, a given caption is
        still followed by decoding, and decoding goes on to EOS.

        Raises:
            SeedStoryError: a story of another world, an empty or overlong caption, broken weights.
        """
        check_story(story, self)
        if story.ended:
            return story
        if not 0 <= seed <= MAX_SEED:
            raise SeedStoryError(f"A seed is a whole number from 0 to {MAX_SEED}, got {seed}.")
        sampling = sampling or (REFERENCE if reference else self._sampling)
        context = context or self._context
        given = None if caption is None else self.words.check_caption(caption, "caption")
        told = self._say(story, given, sampling, context, seed, reference, progress)
        caption = given or display(clean(self.words.tokenizer.decode(told.ids)))
        progress(sampling.max_new_tokens, sampling.max_new_tokens, caption)
        return self.add(story, told, given, seed, sampling, context, reference)

    def add(
        self,
        story: Story,
        told: Told,
        given: str | None,
        seed: int,
        sampling: Sampling,
        context: ContextPolicy,
        reference: bool = False,
    ) -> Story:
        """``story`` with what was told so: a panel, or its closing words."""
        how: dict[str, Json] = {
            **self._who(),
            "sampling": describe(sampling),
            "context": describe(context),
            "reference": reference,
        }
        return with_told(story, told, self.words, given, seed, how)

    def _say(
        self,
        story: Story,
        given: str | None,
        sampling: Sampling,
        context: ContextPolicy,
        seed: int,
        reference: bool,
        progress: Progress,
    ) -> Told:
        """Lay out the prompt and let the LLM say one panel, reporting every token."""
        prompt = self.prompt(story, given, context, reference)
        self._teller.check_room(prompt.ids, context, given or "")
        pictures = [panel_features(story.panels[i], i, self.config) for i in prompt.pictures]
        total = sampling.max_new_tokens
        progress(0, total, "")

        def relay(ids: Sequence[int]) -> None:
            progress(len(ids), total, display(clean(self.words.tokenizer.decode(ids))))

        if given is not None and not reference:
            return self._teller.illustrate(prompt, pictures, context, sampling, seed, relay)
        return self._teller.tell(prompt, pictures, context, sampling, seed, reference, relay, story)

    def tell_futures(self, stories: Sequence[Story], *args: Any, **how: Any) -> list[Story]:
        """As `futures.tell_futures`: several stories, in one batch where the context allows it."""
        usual = (self._sampling, self._context)
        return tell_together(self, self._teller, usual, stories, *args, **how)

    @property
    def reader(self) -> Reader:
        """What the LLM has read and keeps; dropping it (`Reader.forget`) changes no story."""
        return self._teller.reader

    def park(self) -> None:
        """Move the kept KV cache to the CPU; the next telling brings it back."""
        self.reader.park()

    def condition(self, story: Story, index: int) -> Conditioning:
        """What steers SDXL for one panel, B = 1."""
        check_story(story, self)
        index = check_index(story, index)
        row = panel_features(story.panels[index], index, self.config)
        return self.condition_features(ImageFeatures(row[None], SPACE, self.world))

    def condition_features(self, features: ImageFeatures) -> Conditioning:
        """Features of N pictures -> positive and the constant negative, B = N, fp32 on the CPU."""
        if features.space != SPACE or features.world.digest != self.world.digest:
            raise SeedStoryError(
                f"Expected {SPACE!r} features of world {self.world.name!r}, got {features.space!r} "
                f"of {features.world.name!r}. Encode the picture with this world."
            )
        rows = [checked(row, f"picture {i}", self.config) for i, row in enumerate(features.tensor)]
        return self._conditioner.condition(torch.stack(rows))

    def unet_patch(self) -> Mapping[str, Tensor]:
        """``{diffusers UNet key: tensor}``, mapped from the world; empty if it has its own UNet."""
        return self._conditioner.constants(UNET)

    def paint(
        self,
        story: Story,
        indices: Sequence[int],
        settings: PaintSettings,
        progress: Progress = no_progress,
    ) -> list[Tensor]:
        """Not this engine's way: `condition` steers any SDXL sampler, as in `painter.Painter`."""
        raise SeedStoryError(
            "SEED-Story paints through conditioning: use a sampler with its conditioning, or the "
            "library's Painter."
        )

    def commit(self, story: Story, index: int, image: Tensor, feed_back: bool = False) -> Story:
        """``story`` with a picture; with ``feed_back`` the last panel takes the picture's features.

        Raises:
            SeedStoryError: feeding back into a panel that later ones have followed already.
        """
        check_story(story, self)
        index = check_index(story, index)
        if not feed_back:
            return attach_image(story, index, image)
        if index != len(story) - 1:
            raise SeedStoryError(
                f"Panel {index} cannot be re-read: panels up to {len(story) - 1} have followed it. "
                f"Rewind the story to panel {index} first, or attach it without feeding it back."
            )
        return fed_back(story, image, self.encode([image]).tensor[0])

    def _who(self) -> dict[str, Json]:
        world: dict[str, Json] = {"name": self.world.name, "digest": self.world.digest}
        return {"engine": NAME, "world": world, "versions": {"torch": str(torch.__version__)}}


def open_engine(world: World, host: Host) -> SeedStoryEngine:
    """The engine for a world folder; ``host`` says where its parts live.

    Raises:
        SeedStoryError: files are missing, or tokenizer and sizes do not fit together.
    """
    config = SeedStoryConfig.from_json(world.sizes)
    optional = [
        world.file(role) if role in world.files else None
        for role in ("tokenizer.added_tokens", "tokenizer.config", "tokenizer.special_tokens_map")
    ]
    wanted = world.defaults
    return SeedStoryEngine(
        world.ref,
        config,
        Tokenizer(world.file("tokenizer.model"), *optional),
        {spec.name: host(spec) for spec in part_specs(world, config)},
        world.file("detokenizer"),
        restore_sampling(wanted["sampling"]) if "sampling" in wanted else None,
        restore_context(wanted["context"]) if "context" in wanted else None,
    )
