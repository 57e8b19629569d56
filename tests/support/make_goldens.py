"""Writes another set of goldens: other sizes, token order, window and panel count.

What is expected comes from `reference_models` and from loops without any cache, one whole forward a
token, as the reference's scripts read; only the tokenizer is the library's (checked elsewhere).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from seedstory_core.bench.stock_cache import keys_and_values
from seedstory_core.engines.seed_story.tokenizer import Tokenizer

from .made_config import CONFIG, SCHEDULER, SENTENCES, UNET, image_of, io_entry, save, slots_of
from .made_stories import train, write_story
from .reference_models import RefAgent, RefDetokenizer, RefVision


def make_goldens(folder: Path, tokenizer: Path, seed: int = 3) -> None:
    """Write the set; ``tokenizer`` is any tokenizer folder of the official layout."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    words = _write_tokenizer(folder / "tokenizer", tokenizer)
    files: dict[str, Any] = {"tokenizer/": {"encode_cases": _encode_cases(words)}}
    agent = RefAgent(CONFIG, len(words))
    start = torch.randn(1, CONFIG["vit"]["n_queries"], CONFIG["vit"]["output_dim"])
    train(agent, words, start)
    agent.eval()
    with torch.no_grad():
        vision = RefVision(CONFIG["vit"])
        for write in (_write_vision, _write_painter, _write_llm, write_story):
            files |= write(folder, agent, vision, words, start)
    manifest = {
        "set": "made",
        "config": CONFIG,
        "files": files,
        "tokenizer": {
            "len": len(words),
            "boi_id": words.id_of("<img>"),
            "eoi_id": words.id_of("</img>"),
            "img_ids": slots_of(words),
        },
    }
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))


def _write_tokenizer(folder: Path, source: Path) -> Tokenizer:
    """The same words, but the image tokens come before ``<img>`` and ``</img>``, and are fewer."""
    folder.mkdir()
    shutil.copyfile(source / "tokenizer.model", folder / "tokenizer.model")
    pieces = len(Tokenizer(source / "tokenizer.model"))
    names = [f"<img_{i:05d}>" for i in range(CONFIG["n_img"])] + ["<img>", "</img>"]
    added = {name: pieces + i for i, name in enumerate(names)}
    (folder / "added_tokens.json").write_text(json.dumps(added))
    (folder / "tokenizer_config.json").write_text(json.dumps({"legacy": True}))
    return Tokenizer.from_folder(folder)


def _encode_cases(words: Tokenizer) -> list[dict[str, Any]]:
    texts = ("[INST]Tom ran.<img><img_00000></img>", "a  b </img> c", "")
    return [
        {
            "text": text,
            "ids(add_special_tokens=False)": words.encode(text),
            "decode(skip_special_tokens=False)": words.decode(words.encode(text)),
        }
        for text in texts
    ]


def _write_vision(
    folder: Path, agent: RefAgent, vision: RefVision, words: Tokenizer, start: Tensor
) -> dict[str, Any]:
    torch.save(vision.state_dict(), folder / "visual_tokenizer.bin")
    size, seen = CONFIG["vit"]["image_size"], {}
    pixels = torch.randn(2, 3, size, size)
    larger = torch.randint(0, 256, (1, 3, 136, 136), dtype=torch.uint8)  # 17 x 17 patches
    tensors = {"pixels": pixels, "out": vision(pixels, seen), "pixels_u8_136": larger}
    tensors["out_136"] = vision(larger.float() / 64 - 2)
    tensors["out_zero_image"] = vision(torch.zeros(1, 3, size, size))
    tensors |= {f"{name}_img1": value[1:2] for name, value in seen.items()}
    picture = Image.fromarray(torch.randint(0, 256, (70, 91, 3), dtype=torch.uint8).numpy())
    picture.save(folder / "preproc_input.png")
    tensors["preproc_out"] = _squashed(picture)
    save(folder, "visual_tokenizer_io", tensors)
    return io_entry("visual_tokenizer_io", 2e-5)


def _squashed(picture: Image.Image) -> Tensor:
    """qwen_448_transform.yaml: bilinear, aspect ratio lost, CLIP's mean and deviation."""
    size = CONFIG["vit"]["image_size"]
    squashed = torch.tensor(list(picture.resize((size, size), Image.BILINEAR).tobytes()))
    unit = squashed.view(size, size, 3).permute(2, 0, 1).float() / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    return (unit - mean) / std


def _write_llm(
    folder: Path, agent: RefAgent, vision: RefVision, words: Tokenizer, start: Tensor
) -> dict[str, Any]:
    state = agent.official_state(CONFIG["lora"]["r"], CONFIG["lora"]["alpha"])
    torch.save(state, folder / "agent_pytorch_model.bin")
    merged = agent.llm.state_dict()
    save(folder, "lora_merge_io", {k: v for k, v in merged.items() if "layers.1." in k})
    features = torch.randn(2, *start.shape[1:])
    told = torch.randn(2, CONFIG["n_img"], CONFIG["llm"]["hidden_size"])
    save(folder, "input_resampler_io", {"x": features, "out": agent.input_resampler(features)})
    save(folder, "output_resampler_io", {"x": told, "out": agent.output_resampler(told)})
    text = "[INST]".join(sentence + image_of(words) for sentence in SENTENCES[:2])
    ids = torch.tensor([[1, *words.encode(text)]])
    slots = torch.isin(ids, torch.tensor(slots_of(words)))
    embeds = agent.embed(ids, slots, features)
    out = agent.llm(inputs_embeds=embeds, use_cache=True, output_hidden_states=True)
    keys, values = keys_and_values(out.past_key_values)[2]
    tensors = {
        "input_ids": ids, "ids_cmp_mask": slots.to(torch.uint8), "image_embeds": features,
        "inputs_embeds": embeds, "hidden_after_layer1": out.hidden_states[2],
        "last_hidden_after_final_norm": out.hidden_states[-1], "logits_last7": out.logits[:, -7:],
        "k_cache_layer2": keys, "v_cache_layer2": values,
    }  # fmt: skip
    save(folder, "mllm_prefill_io", tensors)
    _write_rule(folder, words)
    _write_training(folder, agent, words, features)
    return (
        io_entry("lora_merge_io", 1e-5)
        | io_entry("input_resampler_io", 2e-5) | io_entry("output_resampler_io", 2e-5)
        | io_entry("mllm_prefill_io", 5e-5) | io_entry("train_forward_io", 5e-5)
        | {"logits_processor_io.safetensors": {}}
    )  # fmt: skip


def _write_rule(folder: Path, words: Tokenizer) -> None:
    slots, end = slots_of(words), words.id_of("</img>")
    listed = [words.id_of("<img>"), *slots, end]
    lasts = [7, listed[0], slots[3], slots[-1], end]
    before = torch.randn(len(lasts), len(words)) * 3
    after = before.clone()
    for row, last in enumerate(lasts):
        if last in listed[:-1]:
            after[row, listed[listed.index(last) + 1]] = before[row].max() + 10
        else:
            after[row, [*slots, end]] = 0.0
    ids = torch.tensor([[5, last] for last in lasts])
    tensors = {"input_ids": ids, "scores_in": before, "scores_out": after}
    save(folder, "logits_processor_io", tensors)


def _write_training(folder: Path, agent: RefAgent, words: Tokenizer, features: Tensor) -> None:
    context = [1, *words.encode(SENTENCES[0] + image_of(words))]
    response = [*words.encode("[INST]" + SENTENCES[1] + image_of(words)), 2]
    ids = torch.tensor([context + response + [0] * 5])
    pictures = torch.isin(ids, torch.tensor(slots_of(words)))
    place = torch.arange(ids.shape[1])
    read, told = pictures & (place < len(context)), pictures & (place >= len(context))
    quiet = pictures | (ids == words.id_of("</img>")) | (place < len(context)) | (ids == 0)
    labels = ids.masked_fill(quiet, -100)
    hidden, scores = agent(agent.embed(ids, read, features[:1]))
    lm = F.cross_entropy(scores[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    recon = agent.output_resampler(hidden[told].view(1, CONFIG["n_img"], -1))
    rec = (1 - F.cosine_similarity(recon, features[1:], dim=-1)).mean()
    tensors = {
        "input_ids": ids, "labels": labels, "image_embeds": features,
        "attention_mask": (ids != 0).long(), "ids_cmp_mask": read.to(torch.uint8),
        "ids_gen_mask": told.to(torch.uint8), "recon_image_embeds": recon,
        "embeds_cmp_mask": torch.tensor([1, 0], dtype=torch.uint8),
        "embeds_gen_mask": torch.tensor([0, 1], dtype=torch.uint8),
        "lm_loss": lm[None], "rec_loss": rec[None], "total_loss": (lm + rec)[None],
    }  # fmt: skip
    save(folder, "train_forward_io", tensors)


def _write_painter(
    folder: Path, agent: RefAgent, vision: RefVision, words: Tokenizer, start: Tensor
) -> dict[str, Any]:
    from diffusers import DDPMScheduler, EulerDiscreteScheduler, UNet2DConditionModel

    detokenizer = RefDetokenizer(CONFIG["detok"], CONFIG["vit"]["output_dim"])
    unet = UNet2DConditionModel.from_config(UNET).eval()
    state = {f"resampler.{key}": value for key, value in detokenizer.state_dict().items()}
    state |= {f"unet.{key}": value for key, value in unet.state_dict().items()}
    torch.save(state, folder / "detokenizer_pytorch_model.bin")
    (folder / "detokenizer_unet_config.json").write_text(json.dumps(UNET))
    (folder / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    size = CONFIG["vit"]["image_size"]
    tokens, pooled = detokenizer(start)
    negative, negative_pooled = detokenizer(vision(torch.zeros(1, 3, size, size)))
    file = Image.open(folder / "preproc_input.png")
    pil_tokens, pil_pooled = detokenizer(vision(_squashed(file)[None]))
    time_ids = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    tensors = {
        "image_embeds": start, "prompt_embeds": tokens, "pooled": pooled, "time_ids": time_ids,
        "negative_prompt_embeds": negative, "negative_pooled": negative_pooled,
        "pil_prompt_embeds": pil_tokens, "pil_pooled": pil_pooled,
    }  # fmt: skip

    def predict(x: Tensor, t: Tensor, against: bool = False) -> Tensor:
        added = {"text_embeds": negative_pooled if against else pooled, "time_ids": time_ids}
        return unet(x, t, negative if against else tokens, added_cond_kwargs=added).sample

    latents, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    tensors |= {"unet_in_latents": latents, "unet_timestep": torch.tensor([501])}
    tensors["unet_noise_pred"] = predict(latents, tensors["unet_timestep"])
    steps = torch.tensor([321])
    noisy = DDPMScheduler.from_config(SCHEDULER).add_noise(latents, noise, steps)
    predicted = predict(noisy, steps)
    tensors |= {"stage3_latents": latents, "stage3_noise": noise, "stage3_timesteps": steps}
    tensors |= {"stage3_noisy": noisy, "stage3_noise_pred": predicted}
    tensors["stage3_loss"] = (predicted - noise).square().mean()[None]
    scheduler = EulerDiscreteScheduler.from_config(SCHEDULER)
    scheduler.set_timesteps(4)
    tensors |= {"euler4_sigmas": scheduler.sigmas, "euler4_init_noise": noise}
    tensors["euler4_timesteps"] = scheduler.timesteps.float()
    x = noise * scheduler.init_noise_sigma
    for i, t in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(x, t)
        both = torch.cat([predict(scaled, t, True), predict(scaled, t)])
        tensors[f"euler4_noise_pred_step{i}_uncond_cond"] = both
        x = scheduler.step(both[:1] + 7.5 * (both[1:] - both[:1]), t, x).prev_sample
        tensors[f"euler4_latents_after_step{i}"] = x
    tensors["euler4_final_latents"] = x
    save(folder, "detokenizer_io", tensors)
    return io_entry("detokenizer_io", 1e-4, latents_atol=5e-3)
