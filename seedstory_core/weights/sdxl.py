"""SDXL's UNet: its configuration, and its two sets of names (diffusers' and the original "ldm").

The layout of blocks is data: which diffusers block stands at which place of ldm's flat lists. It
holds for every SDXL checkpoint; other UNets come with diffusers names only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..building import LARGEST, on_meta
from ..errors import SeedStoryError
from .reader import Checkpoint

#: The fields in which SDXL base differs from diffusers' UNet2DConditionModel defaults.
UNET_CONFIG: Mapping[str, Any] = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 2048,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE_SCALE = 8  # pixels a latent stands for, each way
LDM_PREFIX = "model.diffusion_model."

#: ldm place -> diffusers block, for whole blocks whose inner names differ only in residual layers.
BLOCKS: Mapping[str, str] = {
    "input_blocks.1.0": "down_blocks.0.resnets.0",
    "input_blocks.2.0": "down_blocks.0.resnets.1",
    "input_blocks.4.0": "down_blocks.1.resnets.0",
    "input_blocks.4.1": "down_blocks.1.attentions.0",
    "input_blocks.5.0": "down_blocks.1.resnets.1",
    "input_blocks.5.1": "down_blocks.1.attentions.1",
    "input_blocks.7.0": "down_blocks.2.resnets.0",
    "input_blocks.7.1": "down_blocks.2.attentions.0",
    "input_blocks.8.0": "down_blocks.2.resnets.1",
    "input_blocks.8.1": "down_blocks.2.attentions.1",
    "middle_block.0": "mid_block.resnets.0",
    "middle_block.1": "mid_block.attentions.0",
    "middle_block.2": "mid_block.resnets.1",
    "output_blocks.0.0": "up_blocks.0.resnets.0",
    "output_blocks.0.1": "up_blocks.0.attentions.0",
    "output_blocks.1.0": "up_blocks.0.resnets.1",
    "output_blocks.1.1": "up_blocks.0.attentions.1",
    "output_blocks.2.0": "up_blocks.0.resnets.2",
    "output_blocks.2.1": "up_blocks.0.attentions.2",
    "output_blocks.3.0": "up_blocks.1.resnets.0",
    "output_blocks.3.1": "up_blocks.1.attentions.0",
    "output_blocks.4.0": "up_blocks.1.resnets.1",
    "output_blocks.4.1": "up_blocks.1.attentions.1",
    "output_blocks.5.0": "up_blocks.1.resnets.2",
    "output_blocks.5.1": "up_blocks.1.attentions.2",
    "output_blocks.6.0": "up_blocks.2.resnets.0",
    "output_blocks.7.0": "up_blocks.2.resnets.1",
    "output_blocks.8.0": "up_blocks.2.resnets.2",
}
#: ldm layer -> diffusers layer, for layers outside those blocks.
LAYERS: Mapping[str, str] = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "input_blocks.3.0.op": "down_blocks.0.downsamplers.0.conv",
    "input_blocks.6.0.op": "down_blocks.1.downsamplers.0.conv",
    "output_blocks.2.2.conv": "up_blocks.0.upsamplers.0.conv",
    "output_blocks.5.2.conv": "up_blocks.1.upsamplers.0.conv",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
#: Inside a residual block.
RESIDUAL: Mapping[str, str] = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}


def diffusers_name(ldm: str) -> str | None:
    """``input_blocks.4.0.in_layers.2.weight`` -> ``down_blocks.1.resnets.0.conv1.weight``.

    None for a name that is not of SDXL's UNet.
    """
    layer, _, kind = ldm.rpartition(".")
    if layer in LAYERS:
        return f"{LAYERS[layer]}.{kind}"
    head, rest = _split(layer)
    block = BLOCKS.get(head)
    if block is None or not rest:
        return None
    if ".resnets." in block:
        inner = RESIDUAL.get(rest)
        return None if inner is None else f"{block}.{inner}.{kind}"
    return f"{block}.{rest}.{kind}"


def _split(layer: str) -> tuple[str, str]:
    """At the end of the block's place: ``middle_block.1.norm`` -> ``middle_block.1``, ``norm``."""
    parts = layer.split(".")
    at = 2 if parts[0] == "middle_block" else 3
    return ".".join(parts[:at]), ".".join(parts[at:])


def unet_names(keys: Iterable[str]) -> dict[str, str]:
    """``{diffusers name: the file's own key}`` for the UNet in a checkpoint of either naming.

    Takes a diffusers UNet, an ldm UNet with or without its prefix, or a whole SDXL checkpoint.

    Raises:
        SeedStoryError: there is no SDXL UNet among ``keys``.
    """
    names = list(keys)
    prefix = LDM_PREFIX if any(key.startswith(LDM_PREFIX) for key in names) else ""
    if not prefix and any(key.startswith("down_blocks.") for key in names):
        return {key: key for key in names}
    found = {}
    for key in names:
        if key.startswith(prefix):
            name = diffusers_name(key.removeprefix(prefix))
            if name is not None:
                found[name] = key
    if len(found) < len(BLOCKS):
        raise SeedStoryError(
            "holds no SDXL UNet: expected diffusers names (down_blocks...), or ldm names "
            f"({LDM_PREFIX}input_blocks...); its first keys are {', '.join(names[:3])}."
        )
    return found


class Base:
    """The UNet of a base checkpoint under diffusers names."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        try:
            self._names = unet_names(checkpoint.keys())
        except SeedStoryError as error:
            raise SeedStoryError(f"{checkpoint.path} {error}") from error

    def shape(self, name: str) -> tuple[int, ...] | None:
        """None where the base has no such tensor."""
        key = self._names.get(name)
        return None if key is None else self._checkpoint.shape(key)

    def tensor(self, name: str) -> torch.Tensor:
        return self._checkpoint.tensor(self._names[name])


def unet_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """``{diffusers name: shape}`` of the UNet with this configuration; makes no weights."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    with on_meta(LARGEST, "this UNet configuration of diffusers"):
        unet: Any = UNet2DConditionModel.from_config(dict(config))
    return {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
