"""The models of a folder of goldens, built and loaded as converted worlds are: fp32 on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.detokenizer import Detokenizer
from ..engines.seed_story.engine import SPACE, SeedStoryEngine
from ..engines.seed_story.keymap import AGENT, DETOKENIZER_RESAMPLER, VISUAL_TOKENIZER
from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.tokenizer import Tokenizer
from ..engines.seed_story.vision import Vision
from ..hosts import HeldPart
from ..parts import load_strict
from ..story import append
from ..types import Panel, Story, WorldRef
from ..weights.keymap import KeyMap
from .goldens import Goldens
from .sizes import config_of

M = TypeVar("M", bound=nn.Module)
CPU = torch.device("cpu")


class Models:
    """Each is built when a case first asks for it."""

    def __init__(self, goldens: Goldens) -> None:
        self.goldens = goldens

    @cached_property
    def config(self) -> SeedStoryConfig:
        return config_of(self.goldens)

    @cached_property
    def vision(self) -> Vision:
        options = {"heads": self.config.vision.heads}
        state = self._state("visual_tokenizer", VISUAL_TOKENIZER, options)
        return _loaded(Vision(self.config.vision), state, "visual_tokenizer")

    @cached_property
    def llm_state(self) -> dict[str, Tensor]:
        """The merged LLM's state dict, fp32."""
        alpha = float(self.goldens.config.get("lora", {}).get("alpha", 32))
        return self._state("agent_pytorch_model", AGENT, {"lora_alpha": alpha})

    @cached_property
    def mllm(self) -> Mllm:
        return _loaded(Mllm(self.config), self.llm_state, "agent_pytorch_model")

    @cached_property
    def detokenizer(self) -> Detokenizer:
        state = self._state("detokenizer_pytorch_model", DETOKENIZER_RESAMPLER, {})
        module = Detokenizer(self.config.detokenizer)
        return _loaded(module, state, "detokenizer_pytorch_model")

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_folder(self.goldens.folder / "tokenizer")

    @cached_property
    def unet(self) -> Any:
        """The UNet, through diffusers."""
        diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
        file = self.goldens.checkpoint("detokenizer_pytorch_model")
        keys = [key for key in file.keys() if key.startswith("unet.")]
        state = {key.removeprefix("unet."): file.tensor(key).float() for key in keys}
        unet = diffusers.UNet2DConditionModel.from_config(
            self.goldens.record("detokenizer_unet_config")
        )
        return _loaded(unet, state, "detokenizer_pytorch_model (unet)")

    @cached_property
    def engine(self) -> SeedStoryEngine:
        """The whole engine around the LLM; telling needs neither vision nor de-tokenizer."""
        parts = {"llm": HeldPart(self.mllm, CPU, torch.float32)}
        lacking = {name: HeldPart(nn.Identity(), CPU, torch.float32) for name in _UNUSED}
        world = WorldRef("goldens", str(self.goldens.manifest.get("set", "")))
        return SeedStoryEngine(
            world, self.config, self.tokenizer, {**lacking, **parts}, Path("negative is not used")
        )

    def opening(self, text: str, features: Tensor) -> Story:
        """A story that begins with given features [1, L, D] in place of a picture."""
        panel = Panel(text, text, "opening", features={SPACE: features[0]})
        return append(Story((), self.engine.name, self.engine.world, "parity"), panel)

    def _state(self, stem: str, keymap: KeyMap, options: Mapping[str, float]) -> dict[str, Tensor]:
        file = self.goldens.checkpoint(stem)
        state = keymap.convert(file.keys(), lambda key: file.tensor(key).float(), options)
        return {key: value.float() for key, value in state.items()}


_UNUSED = ("vision", "detokenizer")


def _loaded(module: M, state: Mapping[str, Tensor], source: str) -> M:
    load_strict(module, state, source)
    return module.eval().requires_grad_(False)
