"""Operations that ask an engine, with trained toy weights: only what was asked for changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tales import assert_same_story, begun, picture, told

from seedstory_core.context import Window
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.engines.seed_story.features import SPACE
from seedstory_core.errors import SeedStoryError
from seedstory_core.operations import (
    attach_best,
    best_of,
    edit_caption,
    edits_of,
    insert_told,
    repaint,
    reroll_features,
    reroll_panel,
    reroll_picture,
    reroll_text,
    retell,
    rewind,
)
from seedstory_core.sampling import Nucleus, Sampling
from seedstory_core.story import append
from seedstory_core.story_store import keep, load_story
from seedstory_core.types import Panel, Story, WorldRef

DRAWN = Sampling(picker=Nucleus(1.0, 0.95), suppress=-torch.inf, max_new_tokens=110)
CAPTION = "George ran to the old tree."


def same_but_uid(one: Panel, other: Panel) -> bool:
    """Tensors by identity."""
    return (
        (one.caption, one.text, one.origin, one.token_ids, one.seed)
        == (other.caption, other.text, other.origin, other.token_ids, other.seed)
        and dict(one.provenance) == dict(other.provenance)
        and one.image is other.image
        and all(one.features[space] is row for space, row in other.features.items())
    )


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    """The same telling: what is kept between tellings changes features by rounding."""
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def assert_only(changed: Story, story: Story, index: int) -> None:
    """Panels before ``index`` are the same objects, those behind it the same but for their uids,
    which are those of a story told so."""
    assert len(changed) == len(story)
    for number, (new, old) in enumerate(zip(changed.panels, story.panels, strict=True)):
        if number < index:
            assert new is old
        elif number > index:
            assert same_but_uid(new, old)
    again = replace(changed, panels=(), closing=None)
    for panel in changed.panels:
        again = append(again, panel)
    assert [p.uid for p in again.panels] == [p.uid for p in changed.panels]


def edit(engine: SeedStoryEngine, story: Story, index: int) -> Story:
    return edit_caption(engine, story, index, CAPTION)


OPERATIONS: list[Callable[[SeedStoryEngine, Story, int], Story]] = [
    edit,
    lambda engine, story, index: reroll_text(engine, story, index, 77),
    lambda engine, story, index: reroll_features(engine, story, index, 77),
    lambda engine, story, index: reroll_panel(engine, story, index, 77),
    lambda engine, story, index: best_of(engine, story, index, 2, 77).story,
    lambda engine, story, index: reroll_picture(story, index, lambda s, i: [picture(99)]),
]
NAMES = ["edit", "text", "features", "panel", "best", "picture"]


@pytest.mark.parametrize("index", [1, 3, 4])
@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_the_rest_is_the_same_to_the_bit(
    engine: SeedStoryEngine, story: Story, operation: Any, index: int
) -> None:
    changed = operation(engine, story, index)
    assert_only(changed, story, index)
    assert changed.panels[index] is not story.panels[index]
    noted = edits_of(changed.panels[index])[-1]
    assert noted.get("was", story.panels[index].uid) == story.panels[index].uid


# Law: rewind then tell = tell to that point, then on with the same seeds.
def test_rewinding_and_telling_on_is_the_same_story(
    open_fresh: Callable[[], SeedStoryEngine],
) -> None:
    how = {"sampling": DRAWN, "context": Window(3)}
    want = told(open_fresh(), begun(open_fresh()), 4, **how)
    engine = open_fresh()
    back = rewind(told(engine, begun(engine), 4, **how), 2)
    engine.tell(back, "Something else in between.")
    assert_same_story(told(engine, back, 2, **how), want)


# Law: telling again what nobody changed changes nothing.
def test_retelling_an_unchanged_story_is_the_identity(
    open_fresh: Callable[[], SeedStoryEngine], story: Story
) -> None:
    again = retell(open_fresh(), story, 1)
    assert_same_story(again, story)
    assert [p.uid for p in again.panels] == [p.uid for p in story.panels]
    assert again.panels[0] is story.panels[0]
    assert [p.image for p in again.panels[1:]] == [None] * 4, "pictures are not told"


def test_later_panels_are_told_anew_on_request(engine: SeedStoryEngine, story: Story) -> None:
    kept: list[int] = []
    changed = edit_caption(
        engine, story, 2, CAPTION, "tell", on_panel=lambda s: kept.append(len(s))
    )
    assert kept == [3, 4, 5] and changed.panels[1] is story.panels[1]
    assert [p.origin for p in changed.panels] == [
        "opening", "told", "illustrated", "illustrated", "told",
    ]  # fmt: skip
    assert changed.panels[3].caption == story.panels[3].caption
    assert not torch.equal(changed.panels[3].features[SPACE], story.panels[3].features[SPACE])
    by_hand = engine.tell(rewind(story, 1), CAPTION, DRAWN, Window(3), seed=2)
    by_hand = engine.tell(by_hand, story.panels[3].caption, DRAWN, Window(3))
    by_hand = engine.tell(by_hand, None, DRAWN, Window(3), seed=story.panels[4].seed or 0)
    assert_same_story(changed, by_hand)


def test_an_edited_caption_is_illustrated(engine: SeedStoryEngine, story: Story) -> None:
    new = edit(engine, story, 2).panels[2]
    want = engine.tell(rewind(story, 1), CAPTION, DRAWN, Window(3)).panels[2]
    assert (new.caption, new.origin, new.image) == (CAPTION, "illustrated", None)
    assert_close(new.features[SPACE], want.features[SPACE])
    assert edits_of(new) == [
        {"op": "edit_caption", "was": story.panels[2].uid, "caption": story.panels[2].caption,
         "later": "keep"}
    ]  # fmt: skip


def test_editing_the_opening_keeps_its_picture_and_features(
    engine: SeedStoryEngine, story: Story
) -> None:
    changed = edit(engine, story, 0)
    new, old = changed.panels[0], story.panels[0]
    assert (new.caption, new.origin) == (CAPTION, "opening") and new.uid != old.uid
    assert new.image is old.image and new.features[SPACE] is old.features[SPACE]
    assert_only(changed, story, 0)


def test_texts_are_rerolled_alone(engine: SeedStoryEngine, story: Story) -> None:
    old = story.panels[2]
    wild = replace(DRAWN, picker=Nucleus(4.0, 1.0), max_caption_tokens=12)
    new = reroll_text(engine, story, 2, 77, sampling=wild).panels[2]
    assert new.caption != old.caption and new.seed == 77 and new.origin == "told"
    assert new.features[SPACE] is old.features[SPACE] and new.image is old.image
    assert new.provenance["paint"] == old.provenance["paint"]
    whole = reroll_panel(engine, story, 2, 77, sampling=wild).panels[2]
    assert (whole.caption, whole.token_ids) == (new.caption, new.token_ids)
    assert whole.image is None and whole.features[SPACE] is not old.features[SPACE]


def test_features_are_rerolled_alone(engine: SeedStoryEngine, story: Story) -> None:
    old = story.panels[2]
    made = {
        (seed, strength): reroll_features(engine, story, 2, seed, strength).panels[2]
        for seed in (1, 2)
        for strength in (0.0, 0.3)
    }
    for new in made.values():
        assert (new.caption, new.token_ids, new.seed) == (old.caption, old.token_ids, old.seed)
        assert new.image is None and "paint" not in new.provenance
    rows = {key: panel.features[SPACE] for key, panel in made.items()}
    assert_close(rows[1, 0.0], rows[2, 0.0])
    assert_close(rows[1, 0.0], old.features[SPACE])
    assert (rows[1, 0.3] - rows[2, 0.3]).abs().max() > 0.1
    apart = (rows[1, 0.3] - rows[1, 0.0]).std() / rows[1, 0.0].std(0, unbiased=False).mean()
    assert 0.2 < apart < 0.5
    again = reroll_features(engine, story, 2, 1, 0.3).panels[2]
    assert_close(again.features[SPACE], rows[1, 0.3])


def test_edits_add_up(engine: SeedStoryEngine, story: Story, tmp_path: Any) -> None:
    changed = reroll_features(engine, edit(engine, story, 2), 2, 5)
    changed = reroll_panel(engine, changed, 2, 6)
    assert [e["op"] for e in edits_of(changed.panels[2])] == [
        "edit_caption", "reroll_features", "reroll_panel",
    ]  # fmt: skip
    loaded = load_story(keep(tmp_path, changed))
    assert edits_of(loaded.panels[2]) == edits_of(changed.panels[2])
    assert [p.uid for p in loaded.panels] == [p.uid for p in changed.panels]


@pytest.mark.parametrize("index", [1, 3, 5])
@pytest.mark.parametrize("caption", [None, CAPTION])
def test_inserted_panels_follow_those_before(
    engine: SeedStoryEngine, story: Story, index: int, caption: str | None
) -> None:
    longer = insert_told(engine, story, index, caption, seed=9, sampling=DRAWN)
    assert all(a is b for a, b in zip(longer.panels[:index], story.panels, strict=False))
    assert all(map(same_but_uid, longer.panels[index + 1 :], story.panels[index:]))
    assert caption in (None, longer.panels[index].caption)
    assert edits_of(longer.panels[index]) == [{"op": "insert", "place": index}]


def test_the_best_take_wins_and_the_others_are_kept(
    engine: SeedStoryEngine, story: Story, tmp_path: Any
) -> None:
    takes = best_of(engine, story, 2, 3, 77)
    assert len(takes.captions) == 3 and takes.scores[takes.best] == max(takes.scores)
    assert takes.story.panels[2].caption == takes.captions[takes.best]
    first = reroll_panel(engine, story, 2, 77).panels[2]
    assert first.caption == takes.captions[0], "the first take is what a re-roll tells"
    folders = [keep(tmp_path, one) for one in (takes.story, *takes.others)]
    assert len(set(folders)) == 3
    kept = {load_story(folder).panels[2].caption for folder in folders}
    assert kept == set(takes.captions)
    for other in takes.others:
        assert_only(other, story, 2)
    noted = edits_of(takes.story.panels[2])[-1]
    assert [take["caption"] for take in noted["takes"]] == list(takes.captions)
    for pick in range(3):
        chosen = best_of(engine, story, 2, 3, 77, pick=pick)
        assert chosen.story.panels[2].caption == takes.captions[pick] and chosen.scores == ()


@pytest.mark.parametrize("rule", ["most like the last picture", "least like the last picture"])
def test_takes_are_found_by_rules(engine: SeedStoryEngine, story: Story, rule: str) -> None:
    takes = best_of(engine, story, 5, 3, 1, rule, sampling=DRAWN)
    assert len(takes.story) == 6 and takes.best == takes.scores.index(max(takes.scores))
    assert all(-1.001 <= score <= 1.001 for score in takes.scores)


def test_painting_again_touches_pictures_only(story: Story, tmp_path: Any) -> None:
    asked: list[list[int]] = []

    def paint(story: Story, indices: Any) -> list[torch.Tensor]:
        asked.append(list(indices))
        return [picture(50 + index) for index in indices]

    changed = repaint(story, [-1, 2], paint, {"steps": 3})
    assert asked == [[4, 2]]
    for index in (0, 1, 3):
        assert changed.panels[index] is story.panels[index]
    for index in (2, 4):
        new, old = changed.panels[index], story.panels[index]
        assert torch.equal(new.image, picture(50 + index)) and new.uid == old.uid
        assert new.features[SPACE] is old.features[SPACE]
        assert edits_of(new) == [{"op": "repaint", "paint": {"seed": index}}]
    keep(tmp_path, story)
    keep(tmp_path, changed)
    assert (tmp_path / "story" / "panels" / "002.1.png").is_file(), "the earlier one is kept"


def test_the_best_picture_is_kept_last(story: Story, tmp_path: Any) -> None:
    pictures = [picture(seed) for seed in (60, 61, 62)]
    for one in attach_best(story, 2, pictures, 1):
        keep(tmp_path, one)
    loaded = load_story(tmp_path / "story")
    assert torch.equal(loaded.panels[2].image, pictures[1])
    assert len(list((tmp_path / "story" / "panels").glob("002*.png"))) == 3
    with pytest.raises(SeedStoryError, match="1 to 3 are there .* 4 was picked"):
        attach_best(story, 2, pictures, 3)


class Untouchable:
    """A part that must not be asked for."""

    dtype, device, version = torch.float32, torch.device("cpu"), None

    def acquire(self, working_bytes: int = 0) -> Any:
        raise AssertionError("the LLM was loaded")


def test_painting_again_never_loads_the_llm(
    open_fresh: Callable[[], SeedStoryEngine], story: Story
) -> None:
    engine = open_fresh()
    parts = {**engine.parts, "llm": Untouchable()}
    constants = engine._conditioner._constants
    blind = SeedStoryEngine(engine.world, engine.config, engine.words.tokenizer, parts, constants)
    repaint(story, [1, 4], lambda s, some: [_seen(blind, s, index) for index in some])
    with pytest.raises(AssertionError, match="was loaded"):
        blind.tell(story)


def _seen(engine: SeedStoryEngine, story: Story, index: int) -> torch.Tensor:
    tokens = engine.condition(story, index).positive[0].tokens
    assert tokens.isfinite().all()
    return picture(index)


def test_what_cannot_be_told_again_is_said(engine: SeedStoryEngine, story: Story) -> None:
    greedy = told(engine, begun(engine), 1, sampling=Sampling())
    cases: list[tuple[str, Callable[[], object]]] = [
        ("is its opening", lambda: reroll_panel(engine, story, 0, 1)),
        ("is its opening", lambda: reroll_text(engine, story, -5, 1)),
        ("likeliest one is always taken", lambda: reroll_panel(engine, greedy, 1, 1)),
        ("would be the same story", lambda: best_of(engine, greedy, 1, 2, 1)),
        ("is given, not told", lambda: retell(engine, story, 0)),
        ("strength from 0 to 4", lambda: reroll_features(engine, story, 1, 1, 9.0)),
        ("'keep'.*'tell'", lambda: edit_caption(engine, story, 1, CAPTION, "burn")),
        ("panels 0 to 4", lambda: edit_caption(engine, story, 9, CAPTION)),
        ("is empty", lambda: edit_caption(engine, story, 1, " \n")),
        ("uses as marks", lambda: edit_caption(engine, story, 1, 'An <img> of "x".')),
        ("tokens; at most", lambda: edit_caption(engine, story, 1, "word " * 10_000)),
        ("control character U\\+0007 at letter 2", lambda: edit_caption(engine, story, 1, "A\a")),
        ("control character U\\+202E", lambda: insert_told(engine, story, 1, "A \u202e b")),
        ("not valid Unicode", lambda: edit_caption(engine, story, 1, "half \ud800")),
        ("no rule", lambda: best_of(engine, story, 1, 2, 1, "prettiest")),
        ("Panels 1 to 5", lambda: best_of(engine, story, 0, 2, 1)),
        ("1 to 64 takes", lambda: best_of(engine, story, 1, 1000, 1)),
        ("an opening", lambda: repaint(story, [0], lambda s, i: [picture()])),
    ]
    for message, act in cases:
        with pytest.raises(SeedStoryError, match=message):
            act()


def test_stories_of_other_worlds_are_refused(engine: SeedStoryEngine, story: Story) -> None:
    foreign = replace(story, world=WorldRef("elsewhere", "e" * 64))
    for act in (edit, *OPERATIONS[1:5]):
        with pytest.raises(SeedStoryError, match="'elsewhere'"):
            act(engine, foreign, 2)


def test_missing_features_are_named(engine: SeedStoryEngine, story: Story) -> None:
    bare = replace(story.panels[1], features={})
    broken = replace(story, panels=(story.panels[0], bare, *story.panels[2:]))
    with pytest.raises(SeedStoryError, match="Panel 1 has no .* features"):
        edit(engine, broken, 3)
    with pytest.raises(SeedStoryError, match="has no features, so it cannot be painted"):
        repaint(broken, [1], lambda s, i: [picture()])


@pytest.mark.parametrize("how", [{"sampling": {"picker": 5}}, {"context": {"class": "Crystal"}}])
def test_unknown_ways_of_telling_are_said(
    engine: SeedStoryEngine, story: Story, how: dict[str, Any]
) -> None:
    """Provenance may come from a stranger's file, or a newer version."""
    odd = replace(story.panels[2], provenance={**story.panels[2].provenance, **how})
    changed = replace(story, panels=(*story.panels[:2], odd, *story.panels[3:]))
    with pytest.raises(SeedStoryError, match="Unknown .* update the pack"):
        edit(engine, changed, 2)


@pytest.mark.parametrize("caption", ["A <b>fox</b> & 1 < 2 \u00a9", "\U0001f98a runs \U0001f3c3"])
def test_html_and_emoji_are_taken_as_they_are(
    engine: SeedStoryEngine, story: Story, caption: str
) -> None:
    assert edit_caption(engine, story, 2, caption).panels[2].caption == caption
