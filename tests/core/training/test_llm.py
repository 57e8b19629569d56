"""Stage 2: what is trained is what tells."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.golden_world import golden_models
from support.rounding import LAYER, tolerance
from torch import Tensor, autocast

from seedstory_core.context import Window as Policy
from seedstory_core.engines.seed_story.config import SeedStoryConfig
from seedstory_core.engines.seed_story.mllm import Mllm
from seedstory_core.engines.seed_story.prompt import TURN, Trained, Vocabulary
from seedstory_core.engines.seed_story.reader import Reader, page
from seedstory_core.engines.seed_story.telling import Teller
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import HeldPart
from seedstory_core.sampling import Sampling
from seedstory_core.training import reading
from seedstory_core.training.cache import Rows
from seedstory_core.training.data import Stories, Tale
from seedstory_core.training.learner import Learner
from seedstory_core.training.llm import LlmStage, Telling, TellingModule, new_mllm
from seedstory_core.training.lora import add_lora, merged_state
from seedstory_core.training.recipe import StageSettings
from seedstory_core.training.windows import Scripts, Window

CPU = torch.device("cpu")
#: Two layers and two resamplers, 64 wide at most.
NEAR = tolerance(torch.float32, terms=64, sums=4 * LAYER)


def settings(**options: Any) -> StageSettings:
    known = {"window": 4, **options}
    return StageSettings(
        60, 4, lr=5e-3, warmup=5, ema=0.9, weight_decay=0.0, options=known, save_every=30
    )


def telling(words: Vocabulary, stories: Stories, features: Rows, chosen: StageSettings) -> Telling:
    return Telling(Scripts(words, stories), features, chosen)


def told_by_the_engine(
    mllm: Mllm, sizes: SeedStoryConfig, words: Vocabulary, story: "Told", end: int
) -> Tensor:
    teller = Teller(sizes, words, HeldPart(mllm, CPU, torch.float32))
    policy = Policy(8)
    prompt = Trained().prompt(words, story.texts[:end], policy, story.texts[end])
    pictures = story.features[:end]
    told = teller.illustrate(prompt, pictures, policy, Sampling(), 0, lambda ids: None).features
    assert told is not None
    return told


@dataclasses.dataclass(frozen=True)
class Told:
    """A window as the engine sees it."""

    texts: Sequence[str]
    features: list[Tensor]

    @classmethod
    def of(cls, window: Window, stories: Stories, features: Rows) -> "Told":
        rows = features.take(torch.arange(window.first, window.end))
        return cls(stories.captions[window.first : window.end], list(rows))


@pytest.mark.parametrize("fused_from", [1, 10_000])
def test_training_reads_what_telling_reads(
    fused_from: int,
    monkeypatch: pytest.MonkeyPatch,
    stories: Stories,
    words: Vocabulary,
    features: Rows,
    sizes: SeedStoryConfig,
) -> None:
    monkeypatch.setattr(reading, "LONG", fused_from)
    mllm = new_mllm(sizes, 0)
    source = telling(words, stories, features, settings())
    windows = [Window(0, 4, False), Window(6, 8, False), Window(11, 15, True)]
    batch, module = source.batch(windows), TellingModule(mllm).eval()
    with torch.no_grad():
        answers = module.answers(module.hidden(batch), batch)
    expected = [
        told_by_the_engine(mllm, sizes, words, Told.of(window, stories, features), end)
        for window in windows
        for end in range(1, window.end - window.first)
    ]
    torch.testing.assert_close(answers, torch.stack(expected), **NEAR)


def test_next_tokens_are_scored_as_in_telling(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    mllm, window = new_mllm(sizes, 0), Window(1, 4, False)
    batch = telling(words, stories, features, settings()).batch([window])
    story = Told.of(window, stories, features)
    with torch.no_grad():
        scores = mllm.scores(TellingModule(mllm).hidden(batch)[batch["said"]])
    prompt = Trained().prompt(words, story.texts[:2], Policy(8), story.texts[2])
    with torch.no_grad():
        text = page(prompt.ids, words.slots, story.features[:2])
        reader = Reader(sizes.llm)
        reader.begin(text, "test", CPU)
        hidden = reader.read_page(mllm, text, torch.empty(0))
    turn = words.tokenizer.encode(TURN + story.texts[2])
    theirs = mllm.scores(hidden[-len(turn) - 1 :])
    assert batch["labels"][-len(turn) - 1 :].tolist() == [*turn, words.begin]
    torch.testing.assert_close(scores[-len(turn) - 1 :], theirs, **NEAR)


def golden_batch() -> dict[str, Tensor]:
    """The golden sample, laid out by the trainer from its captions and features."""
    models = golden_models()
    tensors = models.goldens.tensors("train_forward_io")
    words, tokenizer = models.engine.words, models.tokenizer
    ids = tensors["input_ids"][0].tolist()
    text = tokenizer.decode(ids[1 : ids.index(words.eos)])
    marks = [words.image.replace("<", " <").strip()]
    captions = tuple(part.strip() for part in text.split(" ".join(marks[0].split())))
    captions = tuple(part.removeprefix(TURN) for part in captions if part)
    stories = Stories(Path(), "x", (Tale("0", ("a", "b", "c"), captions),))
    scripts = Scripts(words, stories)
    chosen = settings(mode="reference", window=9)
    rows = Rows([tensors["image_embeds"].half().numpy()])
    return Telling(scripts, rows, chosen).batch([Window(0, 3, True, only_last=True)])


def test_the_reference_sample_is_laid_out_as_the_reference_does() -> None:
    tensors = golden_models().goldens.tensors("train_forward_io")
    batch = golden_batch()
    length = batch["ids"].shape[1]
    assert batch["ids"][0].equal(tensors["input_ids"][0, :length])
    labels = torch.full_like(tensors["labels"][0], -100)
    labels[batch["said"] + 1] = batch["labels"]
    assert labels.equal(tensors["labels"][0])
    assert batch["filled"].equal(tensors["ids_cmp_mask"][0].nonzero().flatten())
    assert batch["answers"][0].equal(tensors["ids_gen_mask"][0].nonzero().flatten())


def test_the_losses_are_the_reference_s() -> None:
    models = golden_models()
    tensors = models.goldens.tensors("train_forward_io")
    atol, rtol = models.goldens.tolerance("train_forward_io")
    with torch.no_grad():
        batch, module = golden_batch(), TellingModule(models.mllm)
        got = module(batch)
        picture = module.answers(module.hidden(batch), batch)
    for name, golden in (("loss", "total_loss"), ("ce", "lm_loss"), ("rec", "rec_loss")):
        torch.testing.assert_close(got[name][None], tensors[golden], atol=atol, rtol=rtol)
    torch.testing.assert_close(picture, tensors["recon_image_embeds"], atol=atol, rtol=rtol)


@pytest.mark.parametrize("mode", ["turns", "reference"])
def test_it_learns(
    mode: str, stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    chosen = settings(mode=mode, feature_noise=0.1)
    source = telling(words, stories, features, chosen)
    stage = LlmStage(TellingModule(new_mllm(sizes, 0)), chosen, source, source)
    learner = Learner(stage, chosen, cpu=True)
    before = learner.check()
    for step in range(chosen.steps):
        learner.step(step)
    after = learner.check()
    # Over 4 seeds and both modes 0.10 of the first at most, sd 0.01; of the pictures 0.25, sd 0.02.
    assert after["val_ce"] < 0.5 * before["val_ce"]
    assert after["val_rec"] < 0.8 * before["val_rec"]
    state = stage.result(learner.model)["llm"]
    Mllm(sizes).load_state_dict(dict(state))


def test_a_batch_depends_on_its_step_alone(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    chosen = settings(feature_noise=0.1)
    source = telling(words, stories, features, chosen)
    first = LlmStage(TellingModule(new_mllm(sizes, 0)), chosen, source)
    expected = [first.batch(step, 0, 1) for step in (0, 9, 3)]
    again = LlmStage(TellingModule(new_mllm(sizes, 0)), chosen, source)
    for step, batch in zip((9, 3, 0), (expected[1], expected[2], expected[0]), strict=True):
        got = again.batch(step, 0, 1)
        assert all(got[name].equal(value) for name, value in batch.items())
    halves = [again.batch(3, rank, 2)["targets"] for rank in range(2)]
    assert sorted(map(len, halves)) and sum(map(len, halves)) == len(expected[2]["targets"])


def test_noise_moves_what_is_read_and_not_what_is_meant(
    stories: Stories, words: Vocabulary, features: Rows
) -> None:
    source = telling(words, stories, features, settings(feature_noise=0.5))
    windows = [Window(0, 3, False)]
    plain, noisy = source.batch(windows), source.batch(windows, torch.Generator().manual_seed(1))
    assert plain["targets"].equal(noisy["targets"])
    shift = (plain["pictures"] - noisy["pictures"]).square().mean().sqrt()
    assert 0 < shift < 0.5 * plain["pictures"].square().mean().sqrt()


def test_saving_memory_changes_nothing(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    batch = telling(words, stories, features, settings()).batch([Window(0, 4, True)])
    losses, gradients = [], []
    for save_memory in (False, True):
        module = TellingModule(new_mllm(sizes, 0), save_memory)
        losses.append(module(batch)["loss"])
        losses[-1].backward()
        gradients.append(module.mllm.model.layers[0].mlp.up_proj.weight.grad)
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_lora_trains_few_weights_and_merges_exactly(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    chosen = settings(lora={"r": 4, "alpha": 8, "dropout": 0.0})
    source = telling(words, stories, features, chosen)
    mllm = new_mllm(sizes, 0)
    base = {name: value.clone() for name, value in mllm.state_dict().items()}
    add_lora(mllm, {"r": 4, "alpha": 8, "dropout": 0.0})
    frozen = [name for name, value in mllm.named_parameters() if not value.requires_grad]
    assert all(".base_layer." in name or "positions" in name for name in frozen) and frozen
    module = TellingModule(mllm)
    learner = Learner(LlmStage(module, chosen, source), chosen, cpu=True)
    for step in range(8):
        learner.step(step)
    merged = merged_state(mllm)
    assert merged.keys() == base.keys()
    plain = Mllm(sizes)
    plain.load_state_dict(merged)
    batch = source.batch([Window(0, 4, True)])
    module.eval()
    with torch.no_grad():
        torch.testing.assert_close(TellingModule(plain).hidden(batch), module.hidden(batch), **NEAR)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not merged[name].equal(base[name])
    found = torch.linalg.svdvals(merged[name] - base[name])
    rounded = tolerance(torch.float32, terms=32, scale=float(base[name].abs().max()))["atol"]
    assert found[3] > 10 * rounded > 10 * found[4]  # of rank 4, but for the digits of the sum


def test_unknown_options_are_refused(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    with pytest.raises(SeedStoryError, match="turns or reference"):
        telling(words, stories, features, settings(mode="twins"))
    with pytest.raises(SeedStoryError, match="at least 2 panels"):
        telling(words, stories, features, settings(window=1))
    for options in ({"rank": 3}, {"target": ["no_such_layer"]}):
        with pytest.raises(SeedStoryError, match="lora"):
            add_lora(new_mllm(sizes, 0), options)


def test_bf16_computes_and_stays_near(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    mllm = new_mllm(sizes, 0)
    batch = telling(words, stories, features, settings()).batch([Window(0, 4, True)])
    module = TellingModule(mllm)
    exact = module(batch)["loss"]
    with autocast("cpu", torch.bfloat16):
        near = module(batch)["loss"]
    assert near.dtype == torch.float32
    # Scores are off by half a bf16 digit (4e-3 of some 3) each; the mean over words by less.
    torch.testing.assert_close(near, exact, atol=0.05, rtol=0.02)


def test_a_window_reads_what_it_told_itself(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    source = telling(words, stories, features, settings())
    batch = source.batch([Window(0, 4, False), Window(6, 8, False), Window(11, 14, True)])
    module = TellingModule(new_mllm(sizes, 0)).eval()
    with torch.no_grad():
        answers = module.answers(module.hidden(batch), batch)
    assert batch["told"].tolist() == [-1, 0, 1, -1, -1, 4, 5]
    fed = torch.tensor([True, False, True, True, True, False, True])
    read = module.fed({**batch, "fed": fed})["pictures"]
    expected = batch["pictures"].clone()
    expected[2], expected[6] = answers[1], answers[5]
    torch.testing.assert_close(read, expected)
    alone = source.batch([Window(0, 3, True, only_last=True)])
    assert alone["told"].tolist() == [-1, -1]


def test_reading_its_own_pictures_leaves_gradients_whole(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    batch = telling(words, stories, features, settings()).batch([Window(0, 4, True)])
    fed = {**batch, "fed": torch.ones(len(batch["told"]), dtype=torch.bool)}
    modules = [TellingModule(new_mllm(sizes, 0)) for _ in range(2)]
    with autocast("cpu", torch.bfloat16):
        modules[0](fed)["loss"].backward()
    with autocast("cpu", torch.bfloat16):
        read = {name: value for name, value in modules[1].fed(fed).items() if name != "fed"}
    with autocast("cpu", torch.bfloat16):  # anew: nothing cast before is used again
        modules[1](read)["loss"].backward()
    found = [
        {name: value.grad for name, value in module.named_parameters() if value.requires_grad}
        for module in modules
    ]
    whole, plain = found
    for name, gradient in plain.items():
        assert (gradient is None) == (whole[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(whole[name], gradient, msg=name)
    assert plain["mllm.model.layers.0.mlp.up_proj.weight"] is not None


def test_pictures_of_its_own_and_the_weight_of_their_loss_are_options(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    source = telling(words, stories, features, settings(self_fed=0.5))
    windows, draw = [Window(5 * i, 5 * i + 5, False) for i in range(6)], torch.Generator()
    fed = source.batch(windows, draw.manual_seed(3))["fed"]
    assert fed.any() and not fed.all()
    assert fed.equal(source.batch(windows, draw.manual_seed(3))["fed"])
    assert "fed" not in source.batch(windows)  # held-out figures read true pictures
    batch = source.batch(windows[:1])
    got = TellingModule(new_mllm(sizes, 0), rec_weight=5.0)(batch)
    torch.testing.assert_close(got["loss"], got["ce"] + 5 * got["rec"])
