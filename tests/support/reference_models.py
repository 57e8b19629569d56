"""The reference's models written down a second time, in the reference's own layout.

Their state dicts have the official names, their attention is `torch.nn.MultiheadAttention` or plain
matrix products, the LLM is transformers' with PEFT-style names around it, and nothing here uses the
library's model code: an oracle for it at any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Conv2d, LayerNorm, Linear
from torch.nn import functional as F

TABLE = 16  # side of the visual tokenizer's learned position table


def sines_2d(width: int, grid: int) -> Tensor:
    """[grid * grid, width]: the first half of the width encodes the column, the second the row."""

    def sines(position: Tensor) -> Tensor:
        omega = 10000.0 ** (-torch.arange(width // 4).float() / (width // 4))
        angles = position[:, None].float() * omega
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    rows, columns = torch.arange(grid * grid) // grid, torch.arange(grid * grid) % grid
    return torch.cat([sines(columns), sines(rows)], dim=1)


def interpolated(table: Tensor, tokens: int) -> Tensor:
    old, new = int(len(table) ** 0.5), int(tokens**0.5)
    if old == new:
        return table
    image = table.float().T.reshape(1, -1, old, old)
    image = F.interpolate(image, size=(new, new), mode="bicubic", align_corners=False)
    return image.reshape(table.shape[1], -1).T


class RefResampler(nn.Module):
    def __init__(self, grid: int, embed: int, heads: int, kv: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(sines_2d(embed, grid))
        self.query = nn.Parameter(torch.randn(grid * grid, embed))
        self.kv_proj = Linear(kv, embed, bias=False) if kv != embed else nn.Identity()
        self.attn = nn.MultiheadAttention(embed, heads, batch_first=True)
        self.ln_q, self.ln_kv = LayerNorm(embed, eps=eps), LayerNorm(embed, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.ln_kv(self.kv_proj(x))
        query = (self.ln_q(self.query) + self.pos_embed).expand(len(x), -1, -1)
        return self.attn(query, x + interpolated(self.pos_embed, x.shape[1]), x)[0]


class _RefVisualAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj, self.out_proj = Linear(width, 3 * width), Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        mixed = self.in_proj(x).view(batch, length, self.heads, 3 * width // self.heads)
        q, k, v = mixed.transpose(1, 2).split(width // self.heads, dim=-1)
        weights = (q / q.shape[-1] ** 0.5 @ k.transpose(-1, -2)).softmax(-1)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(batch, length, width))


class _RefBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = LayerNorm(width, eps=1e-6), LayerNorm(width, eps=1e-6)
        self.attn = _RefVisualAttention(width, heads)
        self.mlp = nn.ModuleDict({"c_fc": Linear(width, hidden), "c_proj": Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class RefVision(nn.Module):
    def __init__(self, vit: Mapping[str, Any]) -> None:
        super().__init__()
        width, out = vit["width"], vit["output_dim"]
        hidden = int(width * vit["mlp_ratio"])
        self.conv1 = Conv2d(3, width, vit["patch_size"], stride=vit["patch_size"], bias=False)
        self.positional_embedding = nn.Parameter(torch.randn(TABLE * TABLE, width) * 0.3)
        self.ln_pre = LayerNorm(width, eps=1e-6)
        blocks = [_RefBlock(width, vit["heads"], hidden) for _ in range(vit["layers"])]
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(blocks)})
        grid = int(vit["n_queries"] ** 0.5)
        self.attn_pool = RefResampler(grid, out, max(1, out // 128), width, eps=1e-6)
        self.ln_post = LayerNorm(out, eps=1e-6)
        self.proj = nn.Parameter(torch.randn(out, out) * out**-0.5)

    def forward(self, x: Tensor, seen: dict[str, Tensor] | None = None) -> Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = self.ln_pre(x + interpolated(self.positional_embedding, x.shape[1]))
        if seen is not None:
            seen["after_ln_pre"] = x
        for i, block in enumerate(self.transformer["resblocks"]):
            x = block(x)
            if seen is not None:
                seen[f"after_block{i}"] = x
        return self.ln_post(self.attn_pool(x)) @ self.proj


class _RefPerceiver(nn.Module):
    def __init__(self, dim: int, dim_head: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = LayerNorm(dim), LayerNorm(dim)
        self.to_q = Linear(dim, dim_head * heads, bias=False)
        self.to_kv = Linear(dim, 2 * dim_head * heads, bias=False)
        self.to_out = Linear(dim_head * heads, dim, bias=False)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        x, latents = self.norm1(x), self.norm2(latents)
        k, v = self.to_kv(torch.cat([x, latents], dim=1)).chunk(2, dim=-1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.to_q(latents), k, v)
        )
        scale = q.shape[-1] ** -0.25
        weights = ((q * scale) @ (k * scale).transpose(-1, -2)).softmax(-1)
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))


class _RefAttentionPool(nn.Module):
    def __init__(self, tokens: int, dim: int, heads: int, out: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(tokens + 1, dim) * dim**-0.5)
        self.k_proj, self.q_proj, self.v_proj = (Linear(dim, dim) for _ in range(3))
        self.c_proj = Linear(dim, out)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + self.positional_embedding
        x = x.transpose(0, 1)
        pooled, _ = F.multi_head_attention_forward(
            query=x[:1], key=x, value=x, embed_dim_to_check=x.shape[-1], num_heads=self.heads,
            q_proj_weight=self.q_proj.weight, k_proj_weight=self.k_proj.weight,
            v_proj_weight=self.v_proj.weight, in_proj_weight=None,
            in_proj_bias=torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias]),
            bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0,
            out_proj_weight=self.c_proj.weight, out_proj_bias=self.c_proj.bias,
            use_separate_proj_weight=True, training=False, need_weights=False,
        )  # fmt: skip
        return pooled[0]


class RefDetokenizer(nn.Module):
    def __init__(self, detok: Mapping[str, Any], source: int) -> None:
        super().__init__()
        dim, heads = detok["dim"], detok["heads"]
        inner = dim * detok["ff_mult"]
        self.latents = nn.Parameter(torch.randn(1, detok["num_queries"], dim) * dim**-0.5)
        self.proj_in, self.norm_out = Linear(source, dim), LayerNorm(dim)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    _RefPerceiver(dim, detok["dim_head"], heads),
                    nn.Sequential(
                        LayerNorm(dim),
                        Linear(dim, inner, bias=False),
                        nn.GELU(),
                        Linear(inner, dim, bias=False),
                    ),
                ]
            )
            for _ in range(detok["depth"])
        )
        self.unet_proj_1 = Linear(dim, detok["output1_dim"])
        self.unet_proj_2 = Linear(dim, detok["output2_dim"])
        self.unet_attnpool = _RefAttentionPool(
            detok["num_queries"], dim, heads, detok["output2_dim"]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        latents = self.latents.repeat(len(x), 1, 1)
        x = self.proj_in(x / x.norm(dim=1, keepdim=True).clamp_min(1e-12))
        for attention, feed_forward in self.layers:
            latents = attention(x, latents) + latents
            latents = feed_forward(latents) + latents
        hidden = self.norm_out(latents)
        tokens = torch.cat([self.unet_proj_1(hidden), self.unet_proj_2(hidden)], dim=-1)
        return tokens, self.unet_attnpool(hidden)


class RefAgent(nn.Module):
    """transformers' Llama between the two resamplers."""

    def __init__(self, config: Mapping[str, Any], vocab: int) -> None:
        super().__init__()
        from transformers import LlamaConfig, LlamaForCausalLM

        sizes = LlamaConfig(**config["llm"], vocab_size=vocab, rms_norm_eps=1e-5)
        self.llm = LlamaForCausalLM(sizes)
        hidden, features = config["llm"]["hidden_size"], config["vit"]["output_dim"]
        self.input_resampler = RefResampler(config["in_grid"], hidden, config["in_heads"], features)
        self.output_resampler = RefResampler(
            config["out_grid"], features, config["out_heads"], hidden
        )

    def embed(self, ids: Tensor, slots: Tensor, features: Tensor) -> Tensor:
        """[B, L], bool [B, L], [N, 256, D] -> [B, L, W]."""
        embeds = self.llm.get_input_embeddings()(ids).clone()
        embeds[slots] = self.input_resampler(features).flatten(0, 1)
        return embeds

    def forward(self, embeds: Tensor) -> tuple[Tensor, Tensor]:
        """[B, L, W] -> hidden states after the final norm, scores. No cache, ever."""
        out = self.llm(inputs_embeds=embeds, use_cache=False, output_hidden_states=True)
        return out.hidden_states[-1], out.logits

    def official_state(self, rank: int, alpha: float) -> dict[str, Tensor]:
        """The state dict as the released agent has it: LoRA apart, norms saved twice."""
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("llm.")}
        for name, value in self.llm.state_dict().items():
            key = f"llm.base_model.model.{name.removesuffix('.weight')}"
            if name.endswith("norm.weight"):
                state[f"{key}.modules_to_save.default.weight"] = value
                state[f"{key}.original_module.weight"] = torch.ones_like(value)
            elif "_proj" in name:
                down = torch.randn(rank, value.shape[1]) * 0.1
                up = torch.randn(value.shape[0], rank) * 0.1
                state[f"{key}.weight"] = value - alpha / rank * up @ down
                state[f"{key}.lora_A.default.weight"] = down
                state[f"{key}.lora_B.default.weight"] = up
            else:
                state[f"{key}.weight"] = value
        for i in range(self.llm.config.num_hidden_layers):
            key = f"llm.base_model.model.model.layers.{i}.self_attn.rotary_emb.inv_freq"
            state[key] = torch.rand(4)
        return {key: value.detach().clone().contiguous() for key, value in state.items()}
