"""How a world is adapted to another series: the numbers a user may choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import SeedStoryError
from .adapt_taught import REFERENCE, Taught
from .recipe import StageSettings

#: Parts of the LLM that may be trained beside its adapters, and the names they are known by.
ALSO = {
    "resamplers": ("input_resampler.", "output_resampler."),
    "embeddings": ("embed_tokens.", "lm_head."),
    "norms": ("layernorm.", "model.norm."),
}
FIXED = "positions."  # sine tables of resamplers are never trained
DRAW_LR = 1e-3
FEWEST, MOST = 2, 5000  # pictures; more are a training from the start, not an adaptation


@dataclass(frozen=True)
class AdaptSettings:
    """Defaults suit 20 to 200 pictures.

    Attributes:
        steps: of the LLM. ``paint_steps``: of the de-tokenizer; 0 leaves it as it is.
        draw_steps: of the decoder of a drawn world's VAE; 0 leaves it as it is.
        rank: of the LLM's adapters.
        batch: windows of panels in one step. ``paint_batch``: pictures in one step.
        window: most panels in a window.
        also: what else of the LLM is trained, names of `ALSO`; None decides by the world's size:
            the small vocabulary of a small world has pieces that no caption has used yet, and a
            new name may be spelt of them.
        new_words: become tokens of their own; None: of small worlds the words that the captions
            say again and again and the tokenizer has to spell.
        whole_detokenizer: the de-tokenizer itself learns too, not only keys and values of the UNet.
        whole_unet: so does the whole UNet; None decides by the world's size.
        told: share of pictures that are painted from what the LLM says instead of true features.
        replay: panels of the base world that are rehearsed. ``share``: their share of every batch.
        frugal: frozen weights in bf16, gradient checkpointing, one sample at a time; None decides
            by the world's size.
    """

    steps: int = 100
    paint_steps: int = 400
    draw_steps: int = 100
    rank: int = 16
    batch: int = 8
    paint_batch: int = 16
    lr: float = 1e-3
    paint_lr: float = 8e-5
    window: int = 8
    also: tuple[str, ...] | None = None
    new_words: tuple[str, ...] | None = None
    whole_detokenizer: bool = True
    whole_unet: bool | None = None
    told: float = 0.5
    replay: int = 400
    share: float = 0.6
    seed: int = 0
    save_every: int = 40
    frugal: bool | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("steps", 1, 1_000_000),
            ("paint_steps", 0, 1_000_000),
            ("draw_steps", 0, 1_000_000),
            ("rank", 1, 1024),
            ("batch", 1, 4096),
            ("paint_batch", 1, 4096),
            ("window", 2, 1000),
            ("replay", 0, 100_000),
            ("share", 0, 0.95),
            ("told", 0, 1),
            ("save_every", 1, 1_000_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SeedStoryError(
                    f"--{name.replace('_', '-')} is from {low} to {high}, got {value}."
                )
        unknown = sorted(set(self.also or ()) - set(ALSO))
        if unknown:
            raise SeedStoryError(
                f"--also takes {', '.join(ALSO)}, or nothing; got {', '.join(unknown)}."
            )

    def sized(self, frugal: bool) -> AdaptSettings:
        """What is left to the world's size, decided."""
        whole = not frugal if self.whole_unet is None else self.whole_unet
        also = self.also
        if also is None:
            also = () if frugal else ("embeddings",)
        whole = whole and self.whole_detokenizer
        new_words = self.new_words
        if new_words is None and "embeddings" not in also:
            new_words = ()
        elif new_words:  # a new word is learnt by its embedding
            also = tuple(dict.fromkeys((*also, "embeddings")))
        return replace(self, also=also, new_words=new_words, whole_unet=whole, frugal=frugal)

    def telling(self, frugal: bool, taught: Taught = REFERENCE) -> StageSettings:
        """Of the LLM's stage, on a base that was ``taught`` so."""
        options = {**taught.llm, "window": self.window}
        return self._stage(self.steps, self.batch, self.lr, frugal, options)

    def painting(self, frugal: bool, taught: Taught = REFERENCE) -> StageSettings:
        """Of the de-tokenizer's stage."""
        options = {"feature_noise": 0.15, "drop": 0.1, **taught.painter}
        return self._stage(
            max(1, self.paint_steps), self.paint_batch, self.paint_lr, frugal, options
        )

    def drawing(self) -> StageSettings:
        """Of the stage of a drawn world's VAE, which is small."""
        return self._stage(max(1, self.draw_steps), self.paint_batch, DRAW_LR, False, {})

    def _stage(
        self, steps: int, batch: int, lr: float, frugal: bool, options: dict[str, Any]
    ) -> StageSettings:
        return StageSettings(
            steps=steps,
            batch=batch,
            lr=lr,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            warmup=max(1, steps // 20),
            min_lr_share=0.05,
            accumulate=batch if frugal else 1,
            ema=0.99,
            precision="bf16" if frugal else "fp32",
            seed=self.seed,
            save_every=self.save_every,
            options=options,
        )
