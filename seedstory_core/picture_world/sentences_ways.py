"""Sentences of ways: openings, going, meeting, parting."""

from __future__ import annotations

from .captions import Form, forms

OPENINGS: tuple[Form, ...] = (
    *forms(
        "open1",
        "",
        "",
        "One {air}, {a} is {at}.",
        "It is a {air}, and {a} stands {at}.",
        "On a {air}, we find {a} {at}.",
    ),
    *forms(
        "open1", "a:walk", "", "On a {air}, {a} walks {at}.", "One {air}, {a} strolls about {at}."
    ),
    *forms("open1", "a:sit", "", "On a {air}, {a} sits {at}.", "One {air}, {a} rests {at}."),
    *forms("open1", "a:jump", "", "On a {air}, {a} hops about {at}."),
    *forms("open1", "a:wave", "", "It is a {air}, and {a} stands {at} and waves."),
    *forms("open1", "a:/happy", "", "One {air}, {a} is happy {at}."),
    *forms(
        "openwith1",
        "",
        "new",
        "One {air}, {a} finds {aprop} {at}.",
        "It is a {air}, and {a} sees {aprop} {at}.",
    ),
    *forms("openwith1", "", "new:a", "One {air}, {a} is {at} and holds {aprop}."),
    *forms("openwith1", "a:walk", "new:a", "On a {air}, {a} walks {at} with {aprop}."),
    *forms("openwith1", "a:sit", "new:a", "One {air}, {a} sits {at} with {aprop}."),
    *forms("openwith1", "a:jump", "new:a", "On a {air}, {a} hops about {at} with {aprop}."),
    *forms("openwith1", "a:wave", "new:a", "One {air}, {a} stands {at} with {aprop} and waves."),
    *forms("openwith1", "a:/happy", "new:a", "On a {air}, {a} is happy to carry {aprop} {at}."),
    *forms("open2", "", "", "One {air}, {all} are {at}.", "On a {air}, {all} meet {at}."),
    *forms("open2", "all:walk", "", "On a {air}, {all} walk {at}."),
    *forms("open2", "all:sit", "", "One {air}, {all} sit {at}."),
    *forms("open2", "all:jump", "", "It is a {air}, and {all} dance {at}."),
)

GOING: tuple[Form, ...] = (
    *forms(
        "go1",
        "a:walk",
        "go",
        "{a} walks to {place}.",
        "{a} goes to {place}.",
        "{a} hurries to {place}.",
        "{a} wanders to {place}.",
        "Soon {a} comes to {place}.",
        "{a} follows the path to {place}.",
        "{a} runs all the way to {place}.",
        "Step by step, {a} walks to {place}.",
        "Then {a} marches off to {place}.",
        "After a long walk, {a} reaches {place}.",
    ),
    *forms("go1", "a:walk/happy", "go", "{a} walks to {place} with a happy song."),
    *forms("go1", "a:walk/talking", "go", '"Off to {place}!" says {a} and sets out.'),
    *forms("go1", "a:jump", "go", "{a} skips and hops to {place}."),
    *forms("go1", "a:sit", "go", "At last {a} comes to {place} and sits down."),
    *forms("go1", "a:wave", "go", "{a} arrives at {place} and waves."),
    *forms(
        "gowith1",
        "a:walk",
        "has:a go",
        "{a} carries {prop} to {place}.",
        "{a} takes {prop} along to {place}.",
        "With {prop}, {a} walks to {place}.",
        "{a} brings {prop} to {place}.",
    ),
    *forms("gowith1", "a:jump", "has:a go", "{a} hops to {place} with {prop}."),
    *forms("gowith1", "a:sit", "has:a go", "{a} comes to {place} with {prop} and sits down."),
    *forms("gowith1", "a:wave", "has:a go", "{a} comes to {place} with {prop} and waves."),
    *forms(
        "gohome1",
        "a:walk",
        "go",
        "{a} goes home to the kitchen.",
        "{a} walks home to the warm kitchen.",
        place="kitchen",
    ),
    *forms(
        "gohome1", "a:sit", "go", "{a} comes home and sits down in the kitchen.", place="kitchen"
    ),
    *forms(
        "go2",
        "all:walk",
        "go",
        "{all} walk to {place}.",
        "{all} go to {place}.",
        "{all} hurry to {place}.",
        "Together {all} wander to {place}.",
        "{all} follow the path to {place}.",
        "Side by side, {all} walk to {place}.",
        "After a long walk, {all} reach {place}.",
    ),
    *forms("go2", "all:walk/happy", "go", "{all} sing on the way to {place}."),
    *forms("go2", "all:jump", "go", "{all} skip and hop to {place}."),
    *forms("go2", "all:sit", "go", "{all} come to {place} and sit down."),
    *forms(
        "go2",
        "a:walk b:walk",
        "go",
        "{a} leads {b} to {place}.",
        "{a} goes to {place}, and {b} comes along.",
    ),
    *forms("go2", "a:walk b:jump", "go", "{a} walks to {place}, and {b} hops behind."),
    *forms("go2", "a:wave b:walk", "go", "{a} waves, and {b} follows to {place}."),
    *forms(
        "gowith2",
        "a:walk b:walk",
        "has:a go",
        "{a} carries {prop} to {place}, and {b} comes along.",
        "With {prop}, {a} walks to {place} beside {b}.",
    ),
    *forms(
        "gowith2", "a:walk b:jump", "has:a go", "{a} brings {prop} to {place}, and {b} hops along."
    ),
    *forms(
        "gowith2", "a:sit b:sit", "has:a go", "{a} takes {prop} to {place} and sits down with {b}."
    ),
    *forms(
        "gohome2",
        "all:walk",
        "go",
        "{all} go home to the kitchen.",
        "{all} walk home to the warm kitchen.",
        place="kitchen",
    ),
    *forms(
        "gohome2", "all:sit", "go", "{all} come home and sit down in the kitchen.", place="kitchen"
    ),
)

MEETING: tuple[Form, ...] = (
    *forms(
        "meet",
        "",
        "come:b",
        "{a} meets {b} {at}.",
        "{a} finds {b} {at}.",
        "{b} is waiting for {a} {at}.",
    ),
    *forms("meet", "a:wave", "come:b", "{a} waves, and there is {b}!", "{a} waves hello to {b}."),
    *forms(
        "meet",
        "a:wave b:walk",
        "come:b",
        "{a} waves, for {b} is coming.",
        "{b} comes along, and {a} waves.",
    ),
    *forms("meet", "a:/surprised b:jump", "come:b", "{b} jumps out and surprises {a}!"),
    *forms("meet", "a:/surprised", "come:b", "{a} is surprised to meet {b} {at}."),
    *forms("meet", "a:/happy b:/happy", "come:b", "{a} and {b} are happy to meet."),
    *forms(
        "meet",
        "a:/talking",
        "come:b",
        '"Hello, {b}!" says {a}.',
        '"How good to see you, {b}!" says {a}.',
    ),
    *forms("meet", "a:/talking b:wave", "come:b", '"Hello, my friend!" says {a}, and {b} waves.'),
    *forms("meet", "b:sit", "come:b", "{a} comes upon {b}, who sits {at}."),
    *forms("meet", "b:sit/sad", "come:b", "{a} finds {b}, who sits there and cries."),
    *forms("meet0", "b:walk", "come:b", "{b} comes walking {at}.", "Along the way comes {b}."),
    *forms("meet0", "b:jump", "come:b", "{b} comes hopping along {at}."),
    *forms("meet0", "b:wave", "come:b", "{b} comes by and waves."),
    *forms(
        "meetwith",
        "",
        "come:b new:b",
        "{a} meets {b}, who has {aprop}.",
        "{b} brings {aprop} for {a} to see.",
    ),
    *forms(
        "meetwith",
        "b:walk",
        "come:b new:b",
        "{b} comes to {a} with {aprop}.",
        "{b} comes along and carries {aprop}.",
    ),
    *forms(
        "meetwith", "a:wave b:walk", "come:b new:b", "{a} waves to {b}, who comes with {aprop}."
    ),
    *forms("meetwith", "b:sit", "come:b new:b", "{b} sits {at} and holds {aprop}."),
    *forms("meetwith", "b:jump", "come:b new:b", "{b} hops along with {aprop}."),
    *forms(
        "leave",
        "b:wave",
        "leave:b",
        "{b} waves and goes home.",
        "{b} waves and leaves {a} {at}.",
        "With a wave, {b} goes home.",
    ),
    *forms(
        "leave", "b:walk", "leave:b", "{b} walks away, and {a} stays.", "{b} has to go home now."
    ),
    *forms("leave", "a:wave", "leave:o", "{a} waves goodbye to {o}."),
    *forms("leave", "a:wave b:wave", "leave:b", "{b} waves and goes home, and {a} waves back."),
    *forms("leave", "a:wave b:walk", "leave:b", "{a} waves goodbye, and {b} goes home."),
    *forms(
        "leave",
        "a:/talking b:wave",
        "leave:b",
        '"Goodbye, {b}!" says {a}.',
        '"See you soon, {b}!" says {a}.',
    ),
    *forms("leave", "a:/sad", "leave:b", "{b} leaves, and {a} is a little sad."),
)
