"""The caption reader: refusals, contradictions, conventions, one grammar both ways."""

from __future__ import annotations

import random
import re

import pytest

from seedstory_core.picture_world.captions import SLOTS, Form
from seedstory_core.picture_world.effects import EFFECTS
from seedstory_core.picture_world.grammar import FORMS, MAX_CHARACTERS, parse, parse_all
from seedstory_core.picture_world.reading import CaptionReader, Reading
from seedstory_core.picture_world.words import NAMES

START = "One clear day, Mila and Bruno are in the forest."
WITH_BALL = (START, "Mila picks up a ball in the forest.")


def read(*captions: str) -> Reading:
    """The reading of the last caption; those before must be free of problems."""
    reader = CaptionReader()
    for caption in captions[:-1]:
        reading = reader.read(caption)
        assert reading.grammatical and not reading.problems, (caption, reading)
    return reader.read(captions[-1])


CONTRADICTIONS = {
    "holds what another holds": (*WITH_BALL, "Bruno holds the ball tight."),
    "gives what it does not hold": (*WITH_BALL, "Bruno gives the ball to Mila."),
    "takes from another's hands": (*WITH_BALL, "Bruno picks up the ball."),
    "two things at once": (*WITH_BALL, "Bruno picks up a kite in the forest."),
    "holds what is not there": (START, "Mila holds the kite tight."),
    "holds what is lost": (*WITH_BALL, "Oh no, Mila has lost the ball!", "Mila has the ball."),
    "finds what is not lost": (*WITH_BALL, "Bruno finds the ball in the forest!"),
    "lies though it is held": (*WITH_BALL, "Bruno sits next to the ball."),
    "is elsewhere without going": (START, "Mila looks around at the lake."),
    "goes where it is": (START, "Mila and Bruno walk to the forest."),
    "is there without coming": (START, "Luna waves to everyone."),
    "comes though it is there": (START, "Mila meets Bruno in the forest."),
    "speaks after leaving": (START, "Bruno has to go home now.", '"La la la!" sings Bruno.'),
    "was left behind": (START, "Mila walks to the lake.", "Bruno sits down at the lake."),
    "is named twice": (START, "Mila waves to Mila."),
    "is two of a pair": (START, "Mila and Mila laugh."),
    "night follows day": (START, "Night falls in the forest. Mila smiles."),
    "day without a night": (
        START,
        "Now it is evening in the forest. They laugh.",
        "The sun rises. They laugh.",
    ),
    "it rains in the sun": (START, "Mila walks in the rain."),
    "the rain stops, but none fell": (START, "The rain stops. Mila smiles."),
    "the sky clears twice": (START, "The clouds drift away. Mila smiles."),
    "an evening by day": (START, "Mila strolls along in the evening."),
    "a night by day": (START, "What a starry night it is! Mila smiles."),
    "acts while asleep": (START, "Mila falls asleep in the forest.", "Mila jumps up and down."),
    "speaks in its sleep": (START, 'Mila falls asleep in the forest. "La la la!" sings Mila.'),
    "wakes, but was not asleep": (START, "Mila wakes up."),
    "sleeps with full hands": (*WITH_BALL, "Mila falls asleep in the forest."),
    "who is she": (START, "Mila meets Luna in the forest.", "She smiles."),
    "who is he": ("One clear day, Mila is in the forest.", "He smiles."),
    "who are they": ("One clear day, Mila is in the forest.", "They laugh."),
    "his eyes, not hers": (START, "Mila closes his eyes and sleeps."),
    "nobody is in the picture": (START, "The sun shines brightly."),
    "place and sky are not known": ("Mila smiles.",),
    "eats another's cake": (
        "One clear day, Mila and Pip are in the garden.",
        "Mila picks up a cake in the garden.",
        "Pip eats the cake, and it is delicious.",
    ),
    "a soup by the sea": (START, "The kitchen smells of soup. Mila smiles."),
}


@pytest.mark.parametrize("captions", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_contradictions_are_named(captions: tuple[str, ...]):
    reading = read(*captions)
    assert reading.grammatical
    assert reading.problems


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Mila",
        "Mila smiles",
        "mila smiles.",
        "Mila smile.",
        "Mila Mila smiles.",
        "Mila are in the forest.",
        "Mila picks up an ball.",
        "Mila picks up the the ball.",
        "Mila walks to the moon.",
        "Mila smiles.Bruno smiles.",
        '"La la la! sings Mila.',
        '"La la la!" sings she.',
        "Mila waves to she.",
        "Mila, Bruno laugh.",
        "Mila smiles. Mila smiles. Mila smiles. Mila smiles.",
        "Mila smiles. Then everything burst <img>.",
        "Zoe smiles.",
        "Mila smiles. " * 200,
        "\x00\ud800.",
    ],
)
def test_what_is_no_caption_is_refused_and_changes_nothing(text: str):
    reader = CaptionReader()
    reader.read(START)
    before = reader.state
    assert reader.read(text) == Reading(None, (), False)
    assert reader.state == before


def test_a_contradiction_is_taken_at_its_word():
    scene = read(*WITH_BALL, "Bruno holds the ball tight. Luna sits nearby.").scene
    assert scene is not None
    assert [(a.name, a.action, a.holds) for a in scene.actors] == [
        ("Bruno", "stand", "ball"),
        ("Luna", "sit", None),
    ]


def test_the_reader_may_start_in_the_middle():
    reader = CaptionReader()
    assert reader.read("Pip holds the key tight.").scene is None
    reading = reader.read("He is happy. It is a rainy night at the lake.")
    assert reading.scene is not None and not reading.problems
    assert (reading.scene.place, reading.scene.prop) == ("lake", "key")


@pytest.mark.parametrize(
    ("captions", "actors", "item"),
    [
        ((START, "Bruno waves. She jumps for joy."), "Bruno wave, Mila jump happy", None),
        ((START, "They laugh."), "Mila happy, Bruno happy", None),
        ((*WITH_BALL, "Bruno laughs."), "Bruno happy", None),
        ((*WITH_BALL, "Bruno waves. Mila is sad."), "Bruno wave, Mila sad ball", None),
        ((*WITH_BALL, "Mila gives the ball to Bruno."), "Mila, Bruno ball", None),
        ((*WITH_BALL, "Mila lays the ball down."), "Mila", "ball"),
        ((*WITH_BALL, "Mila lays the ball down.", "Bruno laughs."), "Bruno happy", None),
        ((*WITH_BALL, "Mila puts the ball down and falls asleep."), "Mila sleep", "ball"),
        ((*WITH_BALL, "Oh no, Mila has lost the ball!"), "Mila sad", None),
        ((START, '"Look, a kite!" says Mila.'), "Mila talking", "kite"),
        ((START, '"Look, a kite!" says Mila.', "Bruno picks up the kite."), "Bruno kite", None),
    ],
)  # fmt: skip
def test_conventions(captions: tuple[str, ...], actors: str, item: str | None):
    reading = read(*captions)
    assert reading.scene is not None and not reading.problems
    unsaid = ("stand", "calm", None)
    told = [
        " ".join([a.name, *(w for w in (a.action, a.mood, a.holds) if w not in unsaid and w)])
        for a in reading.scene.actors
    ]
    assert ", ".join(told) == actors
    assert reading.scene.item == item


def instance(form: Form, rng: random.Random) -> str:
    """Any sentence of this form, sensible or not."""
    slots = {}
    for slot in form.slots:
        names = rng.sample(NAMES, 3)
        groups = ["they", f"{names[0]} and {names[1]}", "{}, {} and {}".format(*names)]
        words = groups if slot == "all" else SLOTS[slot].split("|")
        if slot == "a" and not form.may_be_pronoun:
            words = list(NAMES)
        slots[slot] = rng.choice(words)
    return form.write(slots)


def test_every_form_is_read_as_itself_only():
    rng = random.Random(0)
    for form in FORMS:
        for _ in range(12):
            sentence = instance(form, rng)
            assert [found.form for found in parse_all(sentence)] == [form], sentence
            assert parse_all(sentence)[0].text == sentence


def test_the_reader_survives_any_sequence_of_sentences():
    rng = random.Random(1)
    for _ in range(60):
        reader = CaptionReader()
        for _ in range(25):
            caption = " ".join(instance(rng.choice(FORMS), rng) for _ in range(rng.choice((1, 2))))
            reading = reader.read(caption)
            assert reading.grammatical, caption
            assert reading.scene is not None or reading.problems


def test_forms_use_known_slots_and_effects():
    for form in FORMS:
        assert set(form.slots) <= set(SLOTS) and len(set(form.slots)) == len(form.slots), form
        assert {effect.partition(":")[0] for effect in form.effects} <= set(EFFECTS), form
        for act in form.acts:
            assert act.role in form.roles, form


def test_captions_hold_nothing_that_the_prompt_uses_as_marks():
    for form in FORMS:
        assert not re.search(r"[<>\[\]]", form.text)
        assert len(form.text) < MAX_CHARACTERS / 4


def test_parsing_keeps_the_words_apart():
    sentences = parse('"Look, a kite!" says Mila. Bruno laughs.')
    assert sentences is not None
    assert [sentence.text for sentence in sentences] == [
        '"Look, a kite!" says Mila.',
        "Bruno laughs.",
    ]
