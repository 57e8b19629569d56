"""Low-rank adapters on the LLM, by peft, and their exact merge into plain weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from ..engines.seed_story.mllm import Mllm
from ..errors import SeedStoryError

#: What the reference adapts (SPEC 2).
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
DEFAULTS: Mapping[str, Any] = {"r": 16, "alpha": 32, "dropout": 0.05, "target": list(TARGETS)}
ADAPTER = "default"


def need_peft() -> Any:
    """The package peft, which only training by LoRA needs.

    Raises:
        SeedStoryError: it is missing or broken; says what to install.
    """
    try:
        import peft
    except ImportError as error:
        raise SeedStoryError(
            f"Training by LoRA needs the package peft, which cannot be imported here ({error}). "
            'Install it into the Python that runs this: pip install "peft>=0.12"'
        ) from error
    return peft


def add_lora(mllm: Mllm, options: Mapping[str, Any]) -> None:
    """Put adapters on the Llama's matrices; the matrices themselves are trained no more.

    Norms, embeddings, output head and resamplers stay trainable, as in the reference.

    Args:
        options: ``r``, ``alpha``, ``dropout``, ``target``; absent ones as in `DEFAULTS`.

    Raises:
        SeedStoryError: an unknown option, a target that is not there, or no peft.
    """
    peft = need_peft()
    unknown = sorted(set(options) - set(DEFAULTS))
    if unknown:
        raise SeedStoryError(
            f"Unknown options of lora: {', '.join(unknown)}; expected {', '.join(DEFAULTS)}."
        )
    chosen = {**DEFAULTS, **options}
    trained = {name for name, value in mllm.named_parameters() if value.requires_grad}
    try:
        config = peft.LoraConfig(
            r=int(chosen["r"]),
            lora_alpha=int(chosen["alpha"]),
            lora_dropout=float(chosen["dropout"]),
            target_modules=list(chosen["target"]),
        )
        peft.inject_adapter_in_model(config, mllm.model, ADAPTER)
    except (TypeError, ValueError) as error:
        raise SeedStoryError(f"The options of lora are wrong ({error}).") from error
    for name, value in mllm.named_parameters():
        adapted = ".base_layer." in name
        value.requires_grad_("lora_" in name or (name in trained and not adapted))


@torch.no_grad()
def merged_state(mllm: Mllm) -> dict[str, Tensor]:
    """The LLM's state dict under the engine's names, adapters added to their matrices in fp32."""
    adapters = {
        f"{name}.weight": cast(Any, module).get_delta_weight(ADAPTER)
        for name, module in mllm.named_modules()
        if hasattr(module, "base_layer") and hasattr(module, "get_delta_weight")
    }
    state = {}
    for name, value in mllm.state_dict().items():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        delta = adapters.get(plain)
        merged = value if delta is None else (value.float() + delta.float()).to(value.dtype)
        state[plain] = merged
    return state
