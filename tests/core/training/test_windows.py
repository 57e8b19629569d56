"""Windows of stories as token ids, and what each row sees."""

from pathlib import Path

import pytest
import torch

from seedstory_core.context import Window as Policy
from seedstory_core.engines.seed_story.prompt import TURN, Trained, Vocabulary
from seedstory_core.training.data import Stories, Tale
from seedstory_core.training.windows import Scripts, Window, collate, lay_out
from seedstory_core.training.words import train_words

SLOTS = 4
CAPTIONS = (
    ("Mila is in the garden.", "She waves.", "Rain falls on the lake.", "Mila sleeps."),
    ("Bruno walks to the lake with a ball.", "He meets Pip."),
)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    tales = tuple(
        Tale(str(number), tuple(f"{i}.png" for i in range(len(texts))), texts)
        for number, texts in enumerate(CAPTIONS)
    )
    stories = Stories(Path(), "train", tales)
    tokenizer = train_words(stories.captions, tmp_path_factory.mktemp("words"), SLOTS)
    return Scripts(Vocabulary(tokenizer, SLOTS, len(tokenizer)), stories)


def said_text(scripts: Scripts, labels: torch.Tensor) -> str:
    return scripts.words.tokenizer.decode(labels.tolist())


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_window_is_the_prompt_that_telling_builds(scripts: Scripts, size: int) -> None:
    prompt = Trained().prompt(scripts.words, CAPTIONS[0], Policy(size), None)
    assert scripts.ids(4 - size, 4).tolist() == list(prompt.ids)


def test_every_panel_but_the_first_is_said(scripts: Scripts) -> None:
    batch = collate(scripts, [Window(0, 4, closes=True), Window(4, 6, closes=True)])
    turns = [TURN + text for texts in CAPTIONS for text in texts[1:]]
    said = said_text(scripts, batch["labels"]).replace("</s>", " ").split("<img>")
    assert [part.strip() for part in said if part.strip()] == turns
    assert (batch["labels"] == scripts.words.eos).sum() == 2
    assert batch["targets"].tolist() == [1, 2, 3, 5]
    assert batch["pictures"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_story_that_goes_on_does_not_end(scripts: Scripts) -> None:
    batch = collate(scripts, [Window(1, 3, closes=False)])
    assert scripts.words.eos not in batch["labels"]
    assert batch["pictures"].tolist() == [1]  # nobody reads the last picture
    assert batch["targets"].tolist() == [2]


def test_each_said_row_stands_before_its_token(scripts: Scripts) -> None:
    batch = collate(scripts, [Window(0, 4, closes=False)])
    ids = batch["ids"].flatten()
    assert ids[batch["said"] + 1].equal(batch["labels"])


def test_answers_stand_where_the_picture_will(scripts: Scripts) -> None:
    windows = [Window(0, 4, closes=True), Window(4, 6, closes=True)]
    batch = collate(scripts, windows)
    total = batch["ids"].shape[1]
    for number, rows in enumerate(batch["answers"]):
        window, place = (0, number) if number < 3 else (1, 0)
        assert batch["ids"].flatten()[rows].tolist() == list(scripts.words.slots)
        positions = batch["positions"].flatten()[rows]
        story = batch["ids"][window]
        assert story[positions].tolist() == list(scripts.words.slots)
        begin = int(positions[0]) - 1
        assert story[begin] == scripts.words.begin
        assert (story[: begin + 1] == scripts.words.begin).sum() == place + 2
        for step, row in enumerate(rows):
            seen = batch["see"][window, 0, int(row) % total].nonzero().flatten().tolist()
            own = [int(other) % total for other in rows[: step + 1]]
            assert seen == [*range(begin + 1), *own]


def test_the_story_sees_no_answer(scripts: Scripts) -> None:
    batch = collate(scripts, [Window(0, 4, closes=True), Window(4, 6, closes=True)])
    for number, window in enumerate((Window(0, 4, True), Window(4, 6, True))):
        length = scripts.length(window)
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        see = batch["see"][number, 0]
        assert see[:length, :length].equal(causal)
        assert not see[:length, length:].any() or number == 1  # behind a short story: padding
        assert see.any(1).all()  # a row that saw nothing would give NaN


def test_the_reference_says_one_panel_and_ends(scripts: Scripts) -> None:
    window = Window(0, 3, closes=True, only_last=True)
    batch = collate(scripts, [window])
    assert batch["ids"].shape[1] == scripts.length(window)
    assert said_text(scripts, batch["labels"]) == f"{TURN}{CAPTIONS[0][2]} <img> </s>"
    assert batch["pictures"].tolist() == [0, 1] and batch["targets"].tolist() == [2]
    assert batch["ids"][0, batch["answers"][0]].tolist() == list(scripts.words.slots)
    assert not set(batch["answers"][0].tolist()) & set(batch["filled"].tolist())


def test_supervised_rows_leave_the_opening_out(scripts: Scripts) -> None:
    one = lay_out(scripts, Window(4, 6, closes=False))
    assert one.said.min() == scripts.opening_length(4) - 1  # its </img> says [INST]
