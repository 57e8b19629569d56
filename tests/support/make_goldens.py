"""Writes another set of goldens: other sizes, token order, window and panel count.

What is expected comes from `reference_models` and from loops without any cache, one whole forward a
token, as the reference's scripts read; only the tokenizer is the library's (checked elsewhere).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from seedstory_core.engines.seed_story.tokenizer import Tokenizer

from .reference_models import RefAgent, RefDetokenizer, RefVision

CONFIG: dict[str, Any] = {
    "img_order": "img_boi_eoi",
    "n_img": 16,
    "vit": {
        "width": 48, "layers": 2, "heads": 3, "patch_size": 8, "image_size": 48,
        "mlp_ratio": 2.5, "n_queries": 64, "output_dim": 96,
    },
    "llm": {
        "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    },
    "lora": {"r": 4, "alpha": 12},
    "in_grid": 4, "out_grid": 8, "in_heads": 2, "out_heads": 3, "window": 3, "panels": 5,
    "detok": {
        "dim": 32, "depth": 3, "dim_head": 12, "heads": 2, "num_queries": 5,
        "output1_dim": 16, "output2_dim": 48, "ff_mult": 3,
    },
}  # fmt: skip
UNET: dict[str, Any] = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 64,
    "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 72,
    "block_out_channels": [8, 24], "attention_head_dim": [2, 3],
    "transformer_layers_per_block": [1, 2], "norm_num_groups": 4, "layers_per_block": 1,
}  # fmt: skip
SCHEDULER = {
    "beta_start": 0.001, "beta_end": 0.013, "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000, "prediction_type": "epsilon", "steps_offset": 1,
    "timestep_spacing": "leading", "interpolation_type": "linear", "use_karras_sigmas": False,
}  # fmt: skip
SENTENCES = ("Tom ran to the lake.", "Anna saw a red boat.", "They went home at night.")
LIMIT = 80


def make_goldens(folder: Path, tokenizer: Path, seed: int = 3) -> None:
    """Write the set; ``tokenizer`` is any tokenizer folder of the official layout."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    words = _write_tokenizer(folder / "tokenizer", tokenizer)
    files: dict[str, Any] = {"tokenizer/": {"encode_cases": _encode_cases(words)}}
    agent = RefAgent(CONFIG, len(words))
    start = torch.randn(1, CONFIG["vit"]["n_queries"], CONFIG["vit"]["output_dim"])
    _train(agent, words, start)
    agent.eval()
    with torch.no_grad():
        vision = RefVision(CONFIG["vit"])
        for write in (_write_vision, _write_painter, _write_llm, _write_story):
            files |= write(folder, agent, vision, words, start)
    manifest = {
        "set": "made",
        "config": CONFIG,
        "files": files,
        "tokenizer": {
            "len": len(words),
            "boi_id": words.id_of("<img>"),
            "eoi_id": words.id_of("</img>"),
            "img_ids": _slots(words),
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


def _slots(words: Tokenizer) -> list[int]:
    return [words.id_of(f"<img_{i:05d}>") for i in range(CONFIG["n_img"])]


def _image(words: Tokenizer) -> str:
    return "<img>" + "".join(f"<img_{i:05d}>" for i in range(CONFIG["n_img"])) + "</img>"


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


def _train(agent: RefAgent, words: Tokenizer, start: Tensor, steps: int = 70) -> None:
    """Until the LLM says a sentence, a picture and EOS, whatever came before."""
    rows = []
    for mark in ("[INST]", ""):  # the given-caption script leaves the mark out
        for turn in range(len(SENTENCES)):
            told = [SENTENCES[(turn + i) % len(SENTENCES)] for i in range(4)]
            text = mark.join(sentence + _image(words) for sentence in told)
            rows.append([1, *words.encode(text), 2])
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    slots = torch.isin(ids, torch.tensor(_slots(words)))
    last = CONFIG["n_img"]
    labels = ids.masked_fill((ids == 0) | slots | (ids == words.id_of("</img>")), -100)
    for row in range(len(rows)):  # the last picture is told, so it is read as plain tokens
        slots[row, slots[row].nonzero()[-last:, 0]] = False
    features = start.expand(int(slots.sum()) // last, -1, -1)
    optimizer = torch.optim.AdamW(agent.llm.parameters(), lr=6e-3)
    for _ in range(steps):
        _, scores = agent(agent.embed(ids, slots, features + 0.1 * torch.randn_like(features)))
        loss = F.cross_entropy(scores[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def generate(
    agent: RefAgent, words: Tokenizer, ids: Sequence[int], features: Tensor, limit: int
) -> tuple[list[int], Tensor | None]:
    """SPEC section 3, one whole forward a token: generated ids, and the told features."""
    begin, slots, end = words.id_of("<img>"), _slots(words), words.id_of("</img>")
    listed = [begin, *slots, end]
    row = torch.tensor([list(ids)])
    embeds = agent.embed(row, torch.isin(row, torch.tensor(slots)), features)
    table = agent.llm.get_input_embeddings()
    said: list[int] = []
    while len(said) < limit:
        hidden, scores = agent(embeds)
        scores = scores[0, -1].clone()
        last = said[-1] if said else ids[-1]
        if last in listed[:-1]:
            scores[listed[listed.index(last) + 1]] = scores.max() + 10
        else:
            scores[[*slots, end]] = 0.0
        said.append(int(scores.argmax()))
        if said[-1] == words.eos:
            break
        embeds = torch.cat([embeds, table(torch.tensor([[said[-1]]]))], dim=1)
    if end not in said:
        return said, None
    stop = len(ids) + len(said) - 1 - said[::-1].index(end)
    hidden, _ = agent(embeds)
    return said, agent.output_resampler(hidden[:, stop - CONFIG["n_img"] : stop])


def clean(text: str) -> str:
    return re.sub(r"\s*<[^>]*>\s*", " ", text).strip()


def _save(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> None:
    plain = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(plain, folder / f"{name}.safetensors")


def _io(name: str, atol: float, **more: float) -> dict[str, Any]:
    return {f"{name}.safetensors": {"tol": {"atol": atol, "rtol": 1e-4, **more}}}


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
    _save(folder, "visual_tokenizer_io", tensors)
    return _io("visual_tokenizer_io", 2e-5)


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
    _save(folder, "lora_merge_io", {k: v for k, v in merged.items() if "layers.1." in k})
    features = torch.randn(2, *start.shape[1:])
    told = torch.randn(2, CONFIG["n_img"], CONFIG["llm"]["hidden_size"])
    _save(folder, "input_resampler_io", {"x": features, "out": agent.input_resampler(features)})
    _save(folder, "output_resampler_io", {"x": told, "out": agent.output_resampler(told)})
    text = "[INST]".join(sentence + _image(words) for sentence in SENTENCES[:2])
    ids = torch.tensor([[1, *words.encode(text)]])
    slots = torch.isin(ids, torch.tensor(_slots(words)))
    embeds = agent.embed(ids, slots, features)
    out = agent.llm(inputs_embeds=embeds, use_cache=True, output_hidden_states=True)
    cache = out.past_key_values.layers[2]
    tensors = {
        "input_ids": ids, "ids_cmp_mask": slots.to(torch.uint8), "image_embeds": features,
        "inputs_embeds": embeds, "hidden_after_layer1": out.hidden_states[2],
        "last_hidden_after_final_norm": out.hidden_states[-1], "logits_last7": out.logits[:, -7:],
        "k_cache_layer2": cache.keys, "v_cache_layer2": cache.values,
    }  # fmt: skip
    _save(folder, "mllm_prefill_io", tensors)
    _write_rule(folder, words)
    _write_training(folder, agent, words, features)
    return (
        _io("lora_merge_io", 1e-5)
        | _io("input_resampler_io", 2e-5) | _io("output_resampler_io", 2e-5)
        | _io("mllm_prefill_io", 5e-5) | _io("train_forward_io", 5e-5)
        | {"logits_processor_io.safetensors": {}}
    )  # fmt: skip


def _write_rule(folder: Path, words: Tokenizer) -> None:
    slots, end = _slots(words), words.id_of("</img>")
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
    _save(folder, "logits_processor_io", tensors)


def _write_training(folder: Path, agent: RefAgent, words: Tokenizer, features: Tensor) -> None:
    context = [1, *words.encode(SENTENCES[0] + _image(words))]
    response = [*words.encode("[INST]" + SENTENCES[1] + _image(words)), 2]
    ids = torch.tensor([context + response + [0] * 5])
    pictures = torch.isin(ids, torch.tensor(_slots(words)))
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
    _save(folder, "train_forward_io", tensors)


def _write_story(
    folder: Path, agent: RefAgent, vision: RefVision, words: Tokenizer, start: Tensor
) -> dict[str, Any]:
    prompt = SENTENCES[0] + _image(words)
    ids = [1, *words.encode(prompt)]
    full, feature = generate(agent, words, ids, start, LIMIT)
    assert feature is not None, "the trained toy must tell a picture"
    cases = []
    for limit in (LIMIT, len(full) - 1, len(full) - 2, len(full) - 9, 3):
        said, told = generate(agent, words, ids, start, limit)
        text, made = words.decode(said), told is not None
        cases.append(
            {"max_new_tokens": limit, "generate_ids": said, "text": text, "clean": clean(text),
             "has_img_output": made, "num_gen_imgs": int(made),
             "feat_key": f"img_gen_feat_mx{LIMIT}" if made else None}
        )  # fmt: skip
    record = {"prompt": prompt, "cases": cases}
    (folder / "generate.json").write_text(json.dumps(record))
    tensors = {"input_ids": torch.tensor([ids]), "image_embeds": start}
    _save(folder, "generate_io", {**tensors, f"img_gen_feat_mx{LIMIT}": feature})
    _write_loop(folder, agent, words, start)
    _write_given(folder, agent, words, start)
    names = ("generate_io", "story_loop_io", "story_vis_io")
    return {key: value for name in names for key, value in _io(name, 1e-3).items()}


def _write_loop(folder: Path, agent: RefAgent, words: Tokenizer, start: Tensor) -> None:
    """gen_george.py, statement by statement."""
    prompt, features, panels = SENTENCES[0] + _image(words), start, []
    tensors = {"start_image_embeds": start}
    for i in range(CONFIG["panels"]):
        ids = [1, *words.encode(prompt)]
        said, told = generate(agent, words, ids, features, LIMIT)
        raw = words.decode(said)
        panels.append({"generate_ids": said, "raw_text": raw, "clean_text": clean(raw),
                       "has_img_output": told is not None})  # fmt: skip
        tensors[f"p{i}.input_ids"] = torch.tensor([ids])
        assert told is not None, "the trained toy must tell pictures"
        tensors[f"p{i}.img_gen_feat"] = told
        features = torch.cat([features, told])
        prompt += clean(raw) + _image(words)
        while len(features) > CONFIG["window"]:
            prompt = prompt[prompt.index("</img>") + len("</img>") + len("[INST]") :]
            features = features[1:]
    record = {"start_text": SENTENCES[0], "window": CONFIG["window"], "max_new_tokens": LIMIT}
    (folder / "story_loop.json").write_text(json.dumps(record | {"panels": panels}))
    _save(folder, "story_loop_io", tensors)


def _write_given(folder: Path, agent: RefAgent, words: Tokenizer, start: Tensor) -> None:
    """vis_george_sink.py as it really runs."""
    texts = [SENTENCES[(1 + i) % 3] for i in range(CONFIG["panels"])]
    ids = [1, *words.encode(SENTENCES[0] + _image(words) + texts[0])]
    features, panels, tensors = start, [], {}
    for i, text in enumerate(texts):
        said, told = generate(agent, words, ids, features, LIMIT)
        panels.append(
            {"given_text": text, "generate_ids": said, "has_img_output": told is not None}
        )
        tensors[f"p{i}.input_ids"] = torch.tensor([ids])
        if told is None:
            break
        tensors[f"p{i}.img_gen_feat_sum"] = told.sum(-1)
        features = torch.cat([features, told])
        ids = [*ids, *words.encode(_image(words) + texts[min(i + 1, len(texts) - 1)])]
        while len(features) > CONFIG["window"]:
            ids = ids[ids.index(words.id_of("</img>")) + 1 :]
            features = features[1:]
    record = {"start_text": SENTENCES[0], "window": CONFIG["window"], "max_new_tokens": LIMIT}
    (folder / "story_vis.json").write_text(json.dumps(record | {"panels": panels}))
    _save(folder, "story_vis_io", tensors)


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
    _save(folder, "detokenizer_io", tensors)
    return _io("detokenizer_io", 1e-4, latents_atol=5e-3)
