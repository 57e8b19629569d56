"""Sentences of talk and of sleep: what friends say, how they sleep and wake."""

from __future__ import annotations

from .captions import Form, forms

SAYING: tuple[Form, ...] = (
    *forms(
        "say1",
        "a:/talking",
        "",
        '"What a {air}!" says {a}.',
        '"I like it {at}," says {a}.',
        '"How quiet it is {when}," says {a}.',
        '"I am not tired," says {a}.',
        '"This is a good life," says {a}.',
        '"La la la!" sings {a}.',
        '"What shall I do now?" asks {a}.',
        '"Anything can happen {at}," says {a}.',
        '"The world is so big!" says {a}.',
        '"Hello, world!" calls {a}.',
    ),
    *forms(
        "say2",
        "a:/talking",
        "",
        '"You are my best friend," says {a} to {o}.',
        '"Shall we play?" {a} asks {o}.',
        '"I am glad you are here," says {a} to {o}.',
        '"Do you hear that?" {a} asks {o}.',
        '"Hold my hand," says {a} to {o}.',
        '"Come and play!" {a} calls to {o}.',
        '"Let us sing!" says {a} to {o}.',
        '"Follow me!" {a} calls to {o}.',
        '"Once upon a time," {a} begins, and tells {o} a tale.',
        '"What shall we do {at}?" {a} asks {o}.',
    ),
    *forms("say2", "a:wave/talking", "", '"Come over here!" calls {a} and waves to {o}.'),
    *forms(
        "say1",
        "a:/talking",
        "",
        '"I love the rain!" says {a}.',
        '"We are getting wet!" says {a}.',
        weather="rain",
    ),
    *forms(
        "say1",
        "a:/talking",
        "",
        '"I love the snow!" says {a}.',
        '"Let us build a snowman!" says {a}.',
        weather="snow",
    ),
    *forms(
        "say1", "a:/talking", "", '"Look at the stars!" says {a}.', weather="clear", time="night"
    ),
    *forms("say1", "a:/talking", "", '"I am hungry," says {a} in the kitchen.', place="kitchen"),
    *forms("say1", "a:/talking", "", '"Let us swim in the lake!" says {a}.', place="lake"),
    *forms("say1", "a:/talking", "", '"The beach is my favourite place," says {a}.', place="beach"),
)

SLEEPING: tuple[Form, ...] = (
    *forms(
        "sleep1",
        "a:sleep",
        "",
        "{a} falls asleep {at}.",
        "{a} closes {his} eyes and sleeps.",
        "{a} lies down and sleeps {at}.",
        "{a} is tired and falls asleep.",
    ),
    *forms("sleep2", "all:sleep", "", "{all} fall asleep {at}.", "{all} sleep side by side."),
    *forms("sleep2", "a:sleep b:sit", "", "{a} sleeps while {b} sits close by."),
    *forms(
        "sleeping1",
        "a:sleep",
        "",
        "{a} dreams of cookies.",
        "{a} is still asleep {at}.",
        "{a} snores softly {when}.",
        "{a} dreams of the sea and smiles.",
    ),
    *forms(
        "sleeping2", "all:sleep", "", "{all} are still asleep {at}.", "{all} dream sweet dreams."
    ),
    *forms(
        "wake1", "", "wake:a", "{a} wakes up.", "{a} opens {his} eyes {at}.", "{a} is awake again."
    ),
    *forms("wake1", "a:jump", "wake:a", "{a} wakes up and jumps to {his} feet."),
    *forms("wake1", "a:wave", "wake:a", "{a} wakes up and waves to the sun."),
    *forms("wake1", "a:/talking", "wake:a", '"Good morning!" says {a}, awake at last.'),
    *forms("wake2", "", "wake:all", "{all} wake up.", "{all} are awake again {at}."),
    *forms("wake2", "all:jump", "wake:all", "{all} wake up and jump to their feet."),
    *forms(
        "morning1",
        "",
        "time wake:a",
        "Morning comes, and {a} wakes up {at}.",
        "{a} wakes up to a new day.",
        time="day",
    ),
    *forms(
        "morning1",
        "a:jump/happy",
        "time wake:a",
        "The sun rises, and {a} wakes up with a happy jump.",
        time="day",
    ),
    *forms(
        "morning2",
        "",
        "time wake:all",
        "Morning comes, and {all} wake up {at}.",
        "{all} wake up to a new day.",
        time="day",
    ),
)
