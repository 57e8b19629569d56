"""Stage B of an adaptation: the LLM learns the new series by adapters, and rehearses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, autocast, nn

from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.parts import part_specs
from ..hosts import read_part
from ..parts import load_strict
from ..world import World
from .adapt_modules import LORA, choose_told, train_in_fp32
from .adapt_reminded import REHEARSED, RemindedTelling
from .adapt_settings import AdaptSettings
from .adapt_words import Words
from .cache import Rows
from .llm import LlmStage, Telling, TellingModule
from .lora import add_lora
from .recipe import StageSettings
from .stage import generator_of
from .told import plan
from .windows import Scripts, Window

NAME = "llm"
CHECKED = 8  # windows of each kind
UP, DOWN = "lora_B.default.weight", "lora_A.default.weight"
SCALE = 2.0  # alpha / rank of the adapters


class MixedTelling(Telling):
    """`Telling` with a share of rehearsed stories in every batch."""

    def __init__(
        self, scripts: Scripts, features: Rows, settings: StageSettings, tales: int, share: float
    ) -> None:
        super().__init__(scripts, features, settings)
        self._kinds = (self._long[self._long < tales], self._long[self._long >= tales])
        self._old = scripts.starts[tales]  # the first rehearsed panel
        self._share = share if len(self._kinds[1]) else 0.0

    def draw(self, count: int, draw: torch.Generator) -> list[Window]:
        """Random windows of random stories, rehearsed ones for a share of them."""
        rehearsed = torch.rand(count, generator=draw) < self._share
        return [self.draw_of(int(kind), draw) for kind in rehearsed]

    def batch(
        self, windows: list[Window], draw: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """As of `Telling`; with ``draw`` it says which windows are rehearsed."""
        batch = super().batch(windows, draw)
        if draw is not None:
            batch[REHEARSED] = torch.tensor([window.first >= self._old for window in windows])
        return batch

    def draw_of(self, kind: int, draw: torch.Generator) -> Window:
        """A random window of the new stories (0) or of the rehearsed ones (1)."""
        stories = self._kinds[kind]
        number = int(torch.randint(len(stories), (1,), generator=draw))
        early, unit = torch.rand(2, generator=draw).tolist()
        return self._window(int(stories[number]), early, unit)

    def all_new(self) -> Iterator[dict[str, Tensor]]:
        """The new stories from their beginnings to their ends, window by window."""
        for story in self._kinds[0]:
            start, end = self.scripts.starts[story : story + 2]
            for first in range(start, end - 1, self.panels - 1):
                yield self.batch([Window(first, min(end, first + self.panels), False)])

    def kinds(self) -> dict[str, int]:
        """Names of the kinds there are, for figures."""
        both = {"new": 0, "rehearsed": 1}
        return {name: kind for name, kind in both.items() if len(self._kinds[kind])}


class TellStage(LlmStage):
    """The LLM with adapters; its result is what changed, not the whole."""

    def __init__(self, module: TellingModule, settings: StageSettings, train: MixedTelling) -> None:
        super().__init__(module, settings, train)
        self.mixed = train

    @torch.no_grad()
    def check(self, module: nn.Module) -> dict[str, float]:
        """Losses on windows of each kind, always the same ones."""
        device, figures = next(module.parameters()).device, {}
        for name, kind in self.mixed.kinds().items():
            draw = generator_of(self.settings.seed, "check", name)
            windows = [self.mixed.draw_of(kind, draw) for _ in range(CHECKED)]
            batch = {key: value.to(device) for key, value in self.mixed.batch(windows).items()}
            with precision(self.settings, device):
                scalars = module(batch)
            figures |= {f"{name}_{key}": float(value) for key, value in scalars.items()}
        return figures

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """``{"changes": {name: tensor}}``: adapters as ``<name>.down`` and ``.up``, else wholes."""
        assert isinstance(module, TellingModule)
        return {"changes": changes_of(module.mllm)}


def precision(settings: StageSettings, device: torch.device) -> torch.autocast:
    """The precision that a stage is trained in, for figures."""
    return autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16")


def changes_of(mllm: Mllm) -> dict[str, Tensor]:
    """What training may have changed, under the engine's names."""
    changed = {}
    for name, value in mllm.named_parameters():
        if LORA in name:
            layer, _, _ = name.partition(LORA)
            changed[f"{layer}.weight.{'up' if name.endswith(UP) else 'down'}"] = value
        elif value.requires_grad:
            changed[name] = value
    return changed


def merged(name: str, base: Tensor, changes: Mapping[str, Tensor]) -> Tensor:
    """A tensor of the base with its change, in the base's dtype, summed in fp32."""
    if f"{name}.up" in changes:
        up, down = changes[f"{name}.up"].float(), changes[f"{name}.down"].float()
        return torch.addmm(base.float(), up, down, alpha=SCALE).to(base.dtype)
    return changes.get(name, base).to(base.dtype)


def open_telling(
    world: World,
    words: Words,
    settings: AdaptSettings,
    frugal: bool,
    changes: Mapping[str, Tensor] | None = None,
    rec_weight: float = 1.0,
    begin: Callable[[TellingModule], None] | None = None,
) -> TellingModule:
    """The world's LLM: with adapters to be trained, or with ``changes`` merged and frozen.

    Args:
        begin: given the LLM before it gets adapters, fills the rows of new words.
    """
    spec = next(spec for spec in part_specs(world, words.config) if spec.name == "llm")
    with torch.device("meta"):
        mllm = Mllm(words.config)
    dtype = torch.bfloat16 if frugal else torch.float32
    state = words.grown(read_part(spec))
    if changes is not None:
        state = {name: merged(name, value, changes) for name, value in state.items()}
    load_strict(mllm, {name: value.to(dtype) for name, value in state.items()}, str(spec.weights))
    if changes is not None:
        return TellingModule(mllm.requires_grad_(False).eval())
    if begin is not None:
        begin(TellingModule(mllm).eval())
    options = {"r": settings.rank, "alpha": int(SCALE * settings.rank), "dropout": 0.0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_of(settings.seed, "adapters").initial_seed())
        add_lora(mllm, options)
    choose_told(mllm, settings)
    train_in_fp32(mllm)
    return RemindedTelling(mllm, frugal, rec_weight, words.new)


@torch.no_grad()
def told_rows(
    module: TellingModule, telling: Telling, starts: list[int], panels: int, device: torch.device
) -> Tensor:
    """What the LLM says each picture is, fp16 [N, L, D]; of first panels the true features.

    An LLM that has learnt to read its own answers (option ``self_fed``) reads them here too.
    """
    own = bool(telling.settings.option("self_fed", 0.0))
    module = module.to(device).eval()
    rows = telling.features.take(torch.arange(starts[-1]))
    for kept in plan(starts, panels, max(1, panels // 2)):
        batch = telling.batch([kept.window])
        batch = {name: value.to(device) for name, value in batch.items()}
        with precision(telling.settings, device):
            if own:
                every = torch.ones_like(batch["told"], dtype=torch.bool)
                batch = module.fed({**batch, "fed": every})
            answers = module.answers(module.hidden(batch), batch).float().cpu()
        rows[kept.first : kept.end] = answers[kept.first - kept.window.first - 1 :]
    return rows.half()
