"""Official names -> ours, one map per official file."""

from __future__ import annotations

from ...weights.keymap import KeyMap, Target, To


def _resampler(official: str, ours: str) -> dict[str, Target]:
    """Rules of one query resampler; torch's attention keeps q, k and v packed in that order."""
    parts = (("q_proj", "first third"), ("k_proj", "second third"), ("v_proj", "last third"))
    return {
        f"{official}query": f"{ours}query.weight",
        f"{official}pos_embed": f"{ours}positions.weight",
        f"{official}kv_proj.weight": f"{ours}kv_proj.weight",
        f"{official}attn.in_proj_weight": tuple(To(f"{ours}{n}.weight", how) for n, how in parts),
        f"{official}attn.in_proj_bias": tuple(To(f"{ours}{n}.bias", how) for n, how in parts),
        **_same(official, ours, {"attn.out_proj": "out_proj", "ln_q": "ln_q", "ln_kv": "ln_kv"}),
    }


def _same(official: str, ours: str, names: dict[str, str]) -> dict[str, Target]:
    """Rules that rename a layer and keep its weight and bias."""
    return {
        f"{official}{old}.{kind}": f"{ours}{new}.{kind}"
        for old, new in names.items()
        for kind in ("weight", "bias")
    }


def _lora(module: str) -> dict[str, Target]:
    official, ours = f"{_PEFT}model.layers.{{}}.{module}", f"model.layers.{{}}.{module}.weight"
    return {
        f"{official}.weight": To(ours, "lora merged", "base"),
        f"{official}.lora_A.default.weight": To(ours, "lora merged", "down"),
        f"{official}.lora_B.default.weight": To(ours, "lora merged", "up"),
    }


def _saved(module: str) -> dict[str, Target]:
    """PEFT's modules_to_save: the trained copy counts, the original is dropped."""
    return {
        f"{_PEFT}{module}.modules_to_save.default.weight": f"{module}.weight",
        f"{_PEFT}{module}.original_module.weight": None,
    }


def _vision(prefix: str) -> dict[str, Target]:
    block = f"{prefix}transformer.resblocks.{{}}."
    braided = {
        f"{block}attn.in_proj.{kind}": To(f"blocks.{{}}.attn.qkv.{kind}", "unbraided")
        for kind in ("weight", "bias")
    }
    names = {
        "ln_1": "ln_1", "ln_2": "ln_2", "attn.out_proj": "attn.out",
        "mlp.c_fc": "up", "mlp.c_proj": "down",
    }  # fmt: skip
    return {
        f"{prefix}conv1.weight": "patches.weight",
        f"{prefix}positional_embedding": "positions.weight",
        f"{prefix}proj": To("proj.weight", "transposed"),  # used as x @ proj there
        **_same(prefix, "", {"ln_pre": "ln_pre", "ln_post": "ln_post"}),
        **braided,
        **_same(block, "blocks.{}.", names),
        **_resampler(f"{prefix}attn_pool.", "pool."),
    }


_PEFT = "llm.base_model.model."
_PROJECTIONS = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)

#: The agent's pytorch_model.bin: Llama with PEFT's LoRA, and the two resamplers -> `Mllm`.
AGENT = KeyMap(
    "SEED-Story agent",
    {
        f"{_PEFT}model.embed_tokens.weight": "model.embed_tokens.weight",
        f"{_PEFT}lm_head.weight": "lm_head.weight",
        f"{_PEFT}model.layers.{{}}.self_attn.rotary_emb.inv_freq": None,  # computed
        **{key: to for module in _PROJECTIONS for key, to in _lora(module).items()},
        **_saved("model.norm"),
        **_saved("model.layers.{}.input_layernorm"),
        **_saved("model.layers.{}.post_attention_layernorm"),
        **_resampler("input_resampler.", "input_resampler."),
        **_resampler("output_resampler.", "output_resampler."),
    },
    options=("lora_alpha",),
)

#: The visual tokenizer as saved by the reference's reload_qwen_vit.py -> `Vision`.
VISUAL_TOKENIZER = KeyMap("visual tokenizer", _vision(""), options=("heads",))

#: The same inside Qwen-VL-Chat's own shards, whose language model is dropped.
QWEN_VL_VISUAL = KeyMap(
    "Qwen-VL-Chat",
    {
        **_vision("transformer.visual."),
        "transformer.wte.weight": None,
        "transformer.h.{*}": None,
        "transformer.rotary_emb.{*}": None,
        "transformer.ln_f.{*}": None,
        "lm_head.weight": None,
    },
    options=("heads",),
)

_LAYER = "resampler.layers.{}."

#: The de-tokenizer's pytorch_model.bin, its resampler only -> `Detokenizer`. The UNet goes
#: another way (`conversion/detokenizer.py`): it keeps its names and meets the base model.
DETOKENIZER_RESAMPLER = KeyMap(
    "de-tokenizer",
    {
        "resampler.latents": To("latents.weight", "without batch"),
        "resampler.unet_attnpool.positional_embedding": "pool.positions.weight",
        **{
            f"{_LAYER}0.{name}.weight": f"layers.{{}}.attn.{name}.weight"
            for name in ("to_q", "to_kv", "to_out")
        },
        f"{_LAYER}1.1.weight": "layers.{}.ff.up.weight",
        f"{_LAYER}1.3.weight": "layers.{}.ff.down.weight",
        **_same(
            _LAYER,
            "layers.{}.",
            {"0.norm1": "attn.norm_x", "0.norm2": "attn.norm_latents", "1.0": "ff.norm"},
        ),
        **_same(
            "resampler.",
            "",
            {
                "proj_in": "proj_in",
                "norm_out": "norm_out",
                "unet_proj_1": "prompt_1",
                "unet_proj_2": "prompt_2",
                "unet_attnpool.q_proj": "pool.q_proj",
                "unet_attnpool.k_proj": "pool.k_proj",
                "unet_attnpool.v_proj": "pool.v_proj",
                "unet_attnpool.c_proj": "pool.out_proj",
            },
        ),
        "unet.{*}": None,
    },
)
