"""How long it takes until the models that tell are loaded: a converted world against the reference.

The reference reads pickles: the base Llama, then the agent's whole state once more, the LoRA beside
it, and the visual tokenizer; resamplers and visual tokenizer are first filled with random numbers
in fp32 (hydra builds them before it loads them). A converted world is mapped into models without
storage. Both end with every weight in memory: as stored, in fp16, and in what is computed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.resampler import Resampler
from ..engines.seed_story.vision import Vision
from ..files import require_space
from ..hosts import LocalPart
from ..ops import torch_ops
from ..parts import PartSpec
from .baseline import LoraLinear
from .weights import RANK, TARGETS, Adapted, Weights, on_meta, random_weights

STORED = torch.float16
REPEATS = 3
PAGE = 4096


def time_loading(
    config: SeedStoryConfig, device: torch.device, dtype: torch.dtype, seed: int
) -> dict[str, Any]:
    """Seconds of both ways, the best of `REPEATS`, taking turns; files are in the page cache.

    Returns: ``bytes`` of the files of each way, and by dtype ``seconds`` (wall), ``cpu_seconds``
        and the ``ratio`` of the latter (of the former on a GPU).
    """
    with TemporaryDirectory(prefix="seedstory-bench-") as folder:
        root = Path(folder)
        _write(root, config, seed)
        sizes = {
            "reference": sum(path.stat().st_size for path in root.glob("*.bin")),
            "world": sum(path.stat().st_size for path in root.glob("*.safetensors")),
        }
        timed = {
            str(kind).removeprefix("torch."): _both(root, config, device, kind)
            for kind in dict.fromkeys((STORED, dtype))
        }
    return {"parameters": _parameters(config), "bytes": sizes, "dtypes": timed}


def _both(
    root: Path, config: SeedStoryConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Both ways to one dtype."""
    ways = {"reference": _load_reference, "world": _load_world}
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    for _ in range(REPEATS):
        for name, load in ways.items():
            wall, cpu = _timed(partial(load, root, config, device, dtype), device)
            best[name] = min(best[name][0], wall), min(best[name][1], cpu)
    counts = 0 if device.type == "cuda" else 1
    return {
        "seconds": {name: times[0] for name, times in best.items()},
        "cpu_seconds": {name: times[1] for name, times in best.items()},
        "ratio": best["reference"][counts] / best["world"][counts],
    }


def _timed(load: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Wall and thread seconds."""
    wall, cpu = time.perf_counter(), time.thread_time()
    load()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - wall, time.thread_time() - cpu


def _parameters(config: SeedStoryConfig) -> int:
    with torch.device("meta"):
        eye = Vision(config.vision, torch_ops)
    return sum(value.numel() for model in (on_meta(config), eye) for value in model.parameters())


def _write(root: Path, config: SeedStoryConfig, seed: int) -> None:
    """The files of both ways, fp16."""
    with torch.device("meta"):
        eye = Vision(config.vision, torch_ops)
    needed = 4 * STORED.itemsize * _parameters(config)
    require_space(root, needed, "Timing how models load")
    weights = random_weights(config, torch.device("cpu"), STORED, seed)
    vision = {
        name: torch.full(like.shape, 0.02, dtype=STORED) for name, like in eye.state_dict().items()
    }
    merged = weights.mllm.state_dict()
    save_file(merged, root / "llm.safetensors")
    save_file(vision, root / "vision.safetensors")
    base = {name: value for name, value in merged.items() if "resampler" not in name}
    base |= {name: adapted.base for name, adapted in weights.adapted.items()}
    torch.save(base, root / "base.bin")
    torch.save(_agent(weights, {**merged, **base}), root / "agent.bin")
    torch.save(vision, root / "vision.bin")


def _agent(weights: Weights, plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The agent's whole state: unmerged matrices, their adapters, everything else once more."""
    state = dict(plain)
    for name, adapted in weights.adapted.items():
        bare = name.removesuffix(".weight")
        del state[name]
        state |= {f"{bare}.{part}": getattr(adapted, part) for part in ("base", "down", "up")}
    return state


def _load_world(
    root: Path, config: SeedStoryConfig, device: torch.device, dtype: torch.dtype
) -> None:
    eye = PartSpec("vision", lambda ops: Vision(config.vision, ops), root / "vision.safetensors")
    llm = PartSpec("llm", lambda ops: Mllm(config, ops), root / "llm.safetensors")
    _touch(LocalPart(eye, device, dtype).acquire(), LocalPart(llm, device, dtype).acquire())


def _load_reference(
    root: Path, config: SeedStoryConfig, device: torch.device, dtype: torch.dtype
) -> None:
    """Base Llama in fp16 without initialisation, as from_pretrained makes it; adapters; agent."""
    base = torch.load(root / "base.bin", map_location="cpu", weights_only=True)
    llm = on_meta(config)
    llm.model, llm.lm_head = (
        part.to(STORED).to_empty(device="cpu") for part in (llm.model, llm.lm_head)
    )
    llm.input_resampler = Resampler(config.input_resampler, torch_ops)
    llm.output_resampler = Resampler(config.output_resampler, torch_ops)
    llm.load_state_dict(base, strict=False)
    _adapt(llm.model)
    state = torch.load(root / "agent.bin", map_location="cpu", weights_only=True)
    llm.load_state_dict(state, strict=False)
    eye = Vision(config.vision, torch_ops)
    vision = torch.load(root / "vision.bin", map_location="cpu", weights_only=True)
    eye.load_state_dict(vision, strict=False)
    _touch(eye.to(device, dtype), llm.eval().to(device, dtype))


def _adapt(llama: nn.Module) -> None:
    """A LoRA beside every matrix of the layers, initialised as peft does."""
    for name, leaf in list(llama.named_modules()):
        if name.endswith(TARGETS) and isinstance(leaf, nn.Linear):
            down = nn.init.kaiming_uniform_(torch.empty(RANK, leaf.in_features), a=5**0.5)
            up = torch.zeros(leaf.out_features, RANK)
            parent, _, child = name.rpartition(".")
            adapted = Adapted(leaf.weight.data, down, up)
            setattr(llama.get_submodule(parent), child, LoraLinear(adapted))


def _touch(*models: nn.Module) -> None:
    """Have every page of every weight read, as the first use would: mapped ones are not before."""
    for model in models:
        for value in model.parameters():
            raw = value.detach().reshape(-1).view(torch.uint8)
            int(raw[::PAGE].sum(dtype=torch.int64))
