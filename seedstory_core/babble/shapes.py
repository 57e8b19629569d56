"""Names and shapes of the tensors of an SDXL-type UNet and a VAE, from their diffusers configs.

Written out rather than asked of diffusers, which takes seconds to import; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Shape = tuple[int, ...]
Shapes = Iterator[tuple[str, Shape]]

#: SDXL's UNet at the smallest sizes that ComfyUI's own SDXL class takes (GroupNorm has 32 groups,
#: a head 32 channels, the size embedding 256); it is conditioned by as wide tokens as SDXL itself.
UNET: Mapping[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [32, 64, 64],
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 1, 1],
    "attention_head_dim": [1, 2, 2],  # diffusers means the number of heads
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,  # pooled 1280 + 6 sizes of 256
    "norm_num_groups": 32,
}
#: SDXL's VAE with one width: 64 pixels are 8 latents.
VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [32, 32, 32, 32],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 64,
    "scaling_factor": 0.13025,
    "force_upcast": False,
}


def _layer(name: str, *weight: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", weight
    if bias:
        yield f"{name}.bias", weight[:1]


def _conv(name: str, inward: int, out: int, size: int = 3) -> Shapes:
    yield from _layer(name, out, inward, size, size)


def _resnet(name: str, inward: int, out: int, time: int | None) -> Shapes:
    yield from _layer(f"{name}.norm1", inward)
    yield from _conv(f"{name}.conv1", inward, out)
    if time is not None:
        yield from _layer(f"{name}.time_emb_proj", out, time)
    yield from _layer(f"{name}.norm2", out)
    yield from _conv(f"{name}.conv2", out, out)
    if inward != out:
        yield from _conv(f"{name}.conv_shortcut", inward, out, 1)


def _attention(name: str, width: int, context: int) -> Shapes:
    yield from _layer(f"{name}.to_q", width, width, bias=False)
    yield from _layer(f"{name}.to_k", width, context, bias=False)
    yield from _layer(f"{name}.to_v", width, context, bias=False)
    yield from _layer(f"{name}.to_out.0", width, width)


def _transformer(name: str, width: int, context: int, depth: int) -> Shapes:
    yield from _layer(f"{name}.norm", width)
    yield from _layer(f"{name}.proj_in", width, width)
    for layer in range(depth):
        block = f"{name}.transformer_blocks.{layer}"
        for number, source in ((1, width), (2, context)):
            yield from _layer(f"{block}.norm{number}", width)
            yield from _attention(f"{block}.attn{number}", width, source)
        yield from _layer(f"{block}.norm3", width)
        yield from _layer(f"{block}.ff.net.0.proj", 8 * width, width)
        yield from _layer(f"{block}.ff.net.2", width, 4 * width)
    yield from _layer(f"{name}.proj_out", width, width)


def unet_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    """``{name: shape}`` of a diffusers UNet2DConditionModel of SDXL's type."""
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    return dict(_unet(config, list(widths), layers))


def _unet(config: Mapping[str, Any], widths: list[int], layers: int) -> Shapes:
    time, context = 4 * widths[0], config["cross_attention_dim"]
    depths = config["transformer_layers_per_block"]
    yield from _conv("conv_in", config["in_channels"], widths[0])
    yield from _layer("time_embedding.linear_1", time, widths[0])
    yield from _layer("time_embedding.linear_2", time, time)
    added = config["projection_class_embeddings_input_dim"]
    yield from _layer("add_embedding.linear_1", time, added)
    yield from _layer("add_embedding.linear_2", time, time)
    skips, width = [widths[0]], widths[0]
    for level, (kind, out) in enumerate(zip(config["down_block_types"], widths, strict=True)):
        block = f"down_blocks.{level}"
        for layer in range(layers):
            yield from _resnet(f"{block}.resnets.{layer}", width, out, time)
            if kind.startswith("CrossAttn"):
                name = f"{block}.attentions.{layer}"
                yield from _transformer(name, out, context, depths[level])
            width = out
            skips.append(width)
        if level + 1 < len(widths):
            yield from _conv(f"{block}.downsamplers.0.conv", width, width)
            skips.append(width)
    yield from _resnet("mid_block.resnets.0", width, width, time)
    yield from _transformer("mid_block.attentions.0", width, context, depths[-1])
    yield from _resnet("mid_block.resnets.1", width, width, time)
    for step, kind in enumerate(config["up_block_types"]):
        block, out = f"up_blocks.{step}", widths[-1 - step]
        for layer in range(layers + 1):
            yield from _resnet(f"{block}.resnets.{layer}", width + skips.pop(), out, time)
            if kind.startswith("CrossAttn"):
                name = f"{block}.attentions.{layer}"
                yield from _transformer(name, out, context, depths[-1 - step])
            width = out
        if step + 1 < len(widths):
            yield from _conv(f"{block}.upsamplers.0.conv", width, width)
    yield from _layer("conv_norm_out", width)
    yield from _conv("conv_out", width, config["out_channels"])


def vae_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    """``{name: shape}`` of a diffusers AutoencoderKL."""
    return dict(_vae(config))


def _vae(config: Mapping[str, Any]) -> Shapes:
    widths, layers = list(config["block_out_channels"]), config["layers_per_block"]
    latent = config["latent_channels"]
    yield from _conv("encoder.conv_in", config["in_channels"], widths[0])
    width = widths[0]
    for level, out in enumerate(widths):
        for layer in range(layers):
            yield from _resnet(f"encoder.down_blocks.{level}.resnets.{layer}", width, out, None)
            width = out
        if level + 1 < len(widths):
            yield from _conv(f"encoder.down_blocks.{level}.downsamplers.0.conv", width, width)
    yield from _vae_middle("encoder", width)
    yield from _layer("encoder.conv_norm_out", width)
    yield from _conv("encoder.conv_out", width, 2 * latent)
    yield from _conv("quant_conv", 2 * latent, 2 * latent, 1)
    yield from _conv("post_quant_conv", latent, latent, 1)
    yield from _conv("decoder.conv_in", latent, widths[-1])
    yield from _vae_middle("decoder", widths[-1])
    width = widths[-1]
    for step, out in enumerate(reversed(widths)):
        for layer in range(layers + 1):
            yield from _resnet(f"decoder.up_blocks.{step}.resnets.{layer}", width, out, None)
            width = out
        if step + 1 < len(widths):
            yield from _conv(f"decoder.up_blocks.{step}.upsamplers.0.conv", width, width)
    yield from _layer("decoder.conv_norm_out", width)
    yield from _conv("decoder.conv_out", width, config["out_channels"])


def _vae_middle(side: str, width: int) -> Shapes:
    for number in (0, 1):
        yield from _resnet(f"{side}.mid_block.resnets.{number}", width, width, None)
    attention = f"{side}.mid_block.attentions.0"
    yield from _layer(f"{attention}.group_norm", width)
    for name in ("to_q", "to_k", "to_v", "to_out.0"):
        yield from _layer(f"{attention}.{name}", width, width)
