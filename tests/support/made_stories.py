"""The toy LLM of the made goldens: trained, then told with by the reference's loops, uncached."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seedstory_core.engines.seed_story.tokenizer import Tokenizer

from .made_config import CONFIG, LIMIT, SENTENCES, image_of, io_entry, save, slots_of
from .reference_models import RefAgent, RefVision


def train(agent: RefAgent, words: Tokenizer, start: Tensor, steps: int = 70) -> None:
    """Until the LLM says a sentence, a picture and EOS, whatever came before."""
    rows = []
    for mark in ("[INST]", ""):  # the given-caption script leaves the mark out
        for turn in range(len(SENTENCES)):
            told = [SENTENCES[(turn + i) % len(SENTENCES)] for i in range(4)]
            text = mark.join(sentence + image_of(words) for sentence in told)
            rows.append([1, *words.encode(text), 2])
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    slots = torch.isin(ids, torch.tensor(slots_of(words)))
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
    begin, slots, end = words.id_of("<img>"), slots_of(words), words.id_of("</img>")
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


def write_story(
    folder: Path, agent: RefAgent, vision: RefVision, words: Tokenizer, start: Tensor
) -> dict[str, Any]:
    prompt = SENTENCES[0] + image_of(words)
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
    save(folder, "generate_io", {**tensors, f"img_gen_feat_mx{LIMIT}": feature})
    _write_loop(folder, agent, words, start)
    _write_given(folder, agent, words, start)
    names = ("generate_io", "story_loop_io", "story_vis_io")
    return {key: value for name in names for key, value in io_entry(name, 1e-3).items()}


def _write_loop(folder: Path, agent: RefAgent, words: Tokenizer, start: Tensor) -> None:
    """gen_george.py, statement by statement."""
    prompt, features, panels = SENTENCES[0] + image_of(words), start, []
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
        prompt += clean(raw) + image_of(words)
        while len(features) > CONFIG["window"]:
            prompt = prompt[prompt.index("</img>") + len("</img>") + len("[INST]") :]
            features = features[1:]
    record = {"start_text": SENTENCES[0], "window": CONFIG["window"], "max_new_tokens": LIMIT}
    (folder / "story_loop.json").write_text(json.dumps(record | {"panels": panels}))
    save(folder, "story_loop_io", tensors)


def _write_given(folder: Path, agent: RefAgent, words: Tokenizer, start: Tensor) -> None:
    """vis_george_sink.py as it really runs."""
    texts = [SENTENCES[(1 + i) % 3] for i in range(CONFIG["panels"])]
    ids = [1, *words.encode(SENTENCES[0] + image_of(words) + texts[0])]
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
        ids = [*ids, *words.encode(image_of(words) + texts[min(i + 1, len(texts) - 1)])]
        while len(features) > CONFIG["window"]:
            ids = ids[ids.index(words.id_of("</img>")) + 1 :]
            features = features[1:]
    record = {"start_text": SENTENCES[0], "window": CONFIG["window"], "max_new_tokens": LIMIT}
    (folder / "story_vis.json").write_text(json.dumps(record | {"panels": panels}))
    save(folder, "story_vis_io", tensors)
