"""Rehearsing: an LLM is held to what its base says, and learns nothing by heart."""

import pytest
import torch
from torch import Tensor

from seedstory_core.picture_world.guest import write_guest
from seedstory_core.training.adapt_base import open_words
from seedstory_core.training.adapt_data import joined, open_series
from seedstory_core.training.adapt_reminded import REHEARSED, RemindedTelling
from seedstory_core.training.adapt_settings import AdaptSettings
from seedstory_core.training.adapt_telling import (
    MOST_HELD,
    MixedTelling,
    TellStage,
    hold,
    open_telling,
)
from seedstory_core.training.adapt_words import Words
from seedstory_core.training.cache import Rows
from seedstory_core.training.windows import Scripts
from seedstory_core.world import World

Batch = dict[str, Tensor]
SETTINGS = AdaptSettings(rank=4, batch=4, window=4, also=("embeddings",))


@pytest.fixture(scope="module")
def telling(tiny_world: World, tmp_path_factory: pytest.TempPathFactory) -> MixedTelling:
    """Six stories, and the same ones again as those that are rehearsed."""
    folder = tmp_path_factory.mktemp("guest") / "pictures"
    write_guest(folder, 20)
    words = open_words(tiny_world)[1]
    series = open_series(folder, words)
    lessons = joined(series, series)
    rows = torch.randn(len(lessons.stories), 4, 16, generator=torch.Generator().manual_seed(5))
    settings = SETTINGS.telling(False)
    scripts = Scripts(words, lessons.stories)
    return MixedTelling(scripts, Rows([rows.half().numpy()]), settings, lessons.tales, 0.5)


@pytest.fixture
def module(tiny_world: World) -> RemindedTelling:
    opened = open_telling(tiny_world, Words(*open_words(tiny_world)), SETTINGS, frugal=False)
    assert isinstance(opened, RemindedTelling)
    return opened


def batch_of(telling: MixedTelling, *kinds: int) -> Batch:
    draw = torch.Generator().manual_seed(9)
    return telling.batch([telling.draw_of(kind, draw) for kind in kinds], draw)


def moved(module: RemindedTelling) -> None:
    """Change all that is trained, as a training would."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in module.mllm.parameters():
            if value.requires_grad:
                value += 0.05 * torch.randn(value.shape, generator=draw)


def slope(module: RemindedTelling, batch: Batch) -> float:
    """The largest gradient of any trained weight."""
    module.zero_grad()
    module(batch)["loss"].backward()
    return max(float(v.grad.abs().max()) for v in module.parameters() if v.grad is not None)


def test_a_batch_says_what_is_rehearsed(telling: MixedTelling):
    assert batch_of(telling, 0, 1, 1, 0)[REHEARSED].tolist() == [False, True, True, False]


def test_before_any_step_rehearsing_teaches_nothing(module: RemindedTelling, telling: MixedTelling):
    old, new = batch_of(telling, 1, 1), batch_of(telling, 0, 0)
    figures = module(old)
    assert float(figures["rec"].detach()) < 1e-5
    assert slope(module, old) < 1e-4 < 1e-2 < slope(module, new)


def test_once_it_has_moved_rehearsing_leads_back(module: RemindedTelling, telling: MixedTelling):
    old = batch_of(telling, 1, 1)
    base = float(module(old)["loss"].detach())
    moved(module)
    assert slope(module, old) > 1e-2
    started = float(module(old)["loss"].detach())
    assert started > base
    trained = [value for value in module.parameters() if value.requires_grad]
    steps = torch.optim.Adam(trained, 0.01)
    for _ in range(20):
        steps.zero_grad()
        loss = module(old)["loss"]
        loss.backward()
        steps.step()
    assert float(loss.detach()) < base + 0.3 * (started - base)


def test_the_base_is_asked_and_put_away_again(module: RemindedTelling, telling: MixedTelling):
    batch = batch_of(telling, 0, 1)
    with torch.no_grad():
        base = module.says(batch)[0]
        moved(module)
        own = module.says(batch)[0]
        with module.reminder.before(module.mllm):
            asked = module.says(batch)[0]
        again = module.says(batch)[0]
    assert torch.equal(asked, base) and torch.equal(again, own) and not torch.equal(own, base)
    with pytest.raises(ZeroDivisionError), module.reminder.before(module.mllm):
        raise ZeroDivisionError
    with torch.no_grad():
        assert torch.equal(module.says(batch)[0], own)


def test_new_captions_are_not_learnt_beyond_the_level(
    module: RemindedTelling, telling: MixedTelling
):
    batch = batch_of(telling, 0, 0)
    ce = float(module(batch)["ce"].detach())
    weight = module.mllm.lm_head.weight
    slopes = []
    for level in (0.0, ce + 1):
        module.level = level
        module.zero_grad()
        module(batch)["ce"].backward()
        assert weight.grad is not None
        slopes.append(weight.grad.clone())
    assert slopes[0].abs().max() > 1e-3
    assert torch.allclose(slopes[0], -slopes[1], atol=1e-6)


def test_the_level_is_what_the_bases_own_stories_surprise_it(
    module: RemindedTelling, telling: MixedTelling
):
    stage = TellStage(module, telling.settings, telling)
    hold(stage, {"rehearsed_ce": 0.4})
    assert module.level == 0.4
    hold(stage, {"rehearsed_ce": 7.0})  # a base that has learnt nothing
    assert module.level == MOST_HELD
    hold(stage, {"new_ce": 3.0})  # nothing is rehearsed
    assert module.level == 0.0


def test_new_words_are_never_expected_where_it_rehearses(tiny_world: World, telling: MixedTelling):
    words = Words(*open_words(tiny_world))
    module = RemindedTelling(
        open_telling(tiny_world, words, SETTINGS, frugal=False).mllm, new=slice(300, 302)
    )
    old = batch_of(telling, 1, 1)
    module(old)["ce"].backward()
    grad = module.mllm.lm_head.weight.grad
    assert grad is not None
    with torch.no_grad():
        hidden = module.hidden(old)[old["said"]]
    pushed = hidden @ grad[300:302].T  # how a step along -grad changes their scores
    assert float(pushed.mean()) > 0


def test_batches_of_a_check_are_judged_by_the_stories(
    module: RemindedTelling, telling: MixedTelling
):
    draw = torch.Generator().manual_seed(9)
    plain = telling.batch([telling.draw_of(1, draw)])
    assert REHEARSED not in plain
    module.level = 50.0
    assert float(module(plain)["ce"].detach()) < 10


def test_the_base_is_in_no_checkpoint(module: RemindedTelling):
    assert not [name for name in module.state_dict() if name.startswith("reminder.")]
