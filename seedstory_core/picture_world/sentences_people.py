"""Sentences of friends: what they do, how they feel, what they say, how they sleep and wake."""

from __future__ import annotations

from .captions import Form, forms

DOING: tuple[Form, ...] = (
    *forms("do1", "", "", "{a} stands still {at}.", "{a} looks around {at}.", "{a} listens to the wind.", "{a} waits {at}."),
    *forms("do1", "a:walk", "", "{a} walks around {at}.", "{a} strolls along {when}.", "{a} wanders about {at}.", "{a} walks {sky}.", "{a} goes for a walk {sky}."),
    *forms("do1", "a:jump", "", "{a} jumps up and down.", "{a} hops on one leg {at}.", "{a} leaps high into the air.", "{a} dances {sky}."),
    *forms("do1", "a:sit", "", "{a} sits down {at}.", "{a} takes a rest {at}.", "{a} sits {sky}.", "{a} sits quietly {when}."),
    *forms("do1", "a:wave", "", "{a} waves {at}.", "{a} waves with both arms.", "{a} waves to you.", "{a} stops and waves {sky}."),
    *forms("do2", "all:walk", "", "{all} walk around {at}.", "{all} stroll along {when}.", "{all} walk {sky}."),
    *forms("do2", "all:jump", "", "{all} jump up and down.", "{all} dance {at}.", "{all} hop in a circle {when}."),
    *forms("do2", "all:sit", "", "{all} sit down {at}.", "{all} sit side by side.", "{all} take a rest {when}."),
    *forms("do2", "all:wave", "", "{all} wave {at}.", "{all} wave to you."),
    *forms("do2", "all:/happy", "", "{all} laugh together {at}.", "{all} play hide and seek {at}.", "{all} sing a song."),
    *forms("do2", "", "", "{all} stand {at}.", "{all} look around {at}.", "{all} listen to the wind."),
    *forms("do2", "a:jump", "", "{a} jumps for {o}.", "{a} shows a trick to {o}."),
    *forms("do2", "a:wave", "", "{a} waves to {o}."),
    *forms("do2", "a:sit", "", "{a} sits down near {o}."),
    *forms("do2", "a:walk b:walk", "", "{a} runs, and {b} runs after.", "{a} walks ahead of {b} {at}."),
    *forms("do2", "a:jump b:sit", "", "{a} jumps about while {b} sits."),
    *forms("do2", "a:sit b:walk", "", "{a} sits while {b} walks around."),
    *forms("do2", "a:/happy b:/happy", "", "{a} hugs {b}.", "{a} tickles {b}, and both laugh."),
    *forms("do2", "a:/talking", "", "{a} tells {o} a story.", "{a} tells {o} a secret {when}.", "{a} talks with {o} {at}."),
    *forms("help", "o:/happy", "", "{a} helps {o}, who is glad.", "{a} cheers {o} up."),
    *forms("help", "", "", "{a} helps {o} {at}.", "{a} takes good care of {o}."),
    *forms("comfort", "b:/sad", "", "{a} comforts {b}, who cries."),
    *forms("comfort", "a:/talking", "", '"Do not be sad," says {a} to {o}.', '"All will be well," {a} tells {o}.'),
    *forms("comfort", "b:/sad", "", "{a} gives {b} a hug, but the tears still fall."),
)  # fmt: skip

#: Mostly told as a second sentence.
FEELING: tuple[Form, ...] = (
    *forms("glad1", "a:/happy", "", "{a} is happy.", "{a} smiles.", "{a} laughs out loud.", "{a} is very glad.", "{a} feels fine {at}."),
    *forms("glad2", "all:/happy", "", "{all} are happy.", "{all} laugh.", "{all} are very glad."),
    *forms("glad1", "a:jump/happy", "", "{a} jumps for joy."),
    *forms("sad1", "a:/sad", "", "{a} is sad.", "{a} cries a little.", "A tear rolls down as {a} sighs.", "{a} feels alone {at}."),
    *forms("sad1", "a:sit/sad", "", "{a} sits down and cries.", "{a} sits there, sad and quiet."),
    *forms("wonder1", "a:/surprised", "", "{a} is surprised.", "{a} gasps.", "{a} hears a strange sound.", "{a} cannot believe it.", "{a} hears an echo {at}."),
    *forms("wonder2", "all:/surprised", "", "{all} are surprised.", "{all} hear a strange sound.", "{all} wonder."),
    *forms("react", "b:wave", "", "{b} waves.", "{b} waves back."),
    *forms("react", "b:jump", "", "{b} jumps.", "{b} hops about."),
    *forms("react", "b:sit", "", "{b} sits down too.", "{b} sits nearby."),
    *forms("react", "b:walk", "", "{b} walks along.", "{b} comes running."),
    *forms("react", "", "", "{b} watches.", "{b} listens."),
    *forms("react", "b:/happy", "", "{b} laughs.", "{b} is happy too."),
    *forms("react", "b:/surprised", "", "{b} is surprised."),
    *forms("react", "b:jump/happy", "", "{b} jumps for joy too."),
)  # fmt: skip

SAYING: tuple[Form, ...] = (
    *forms(
        "say1", "a:/talking", "",
        '"What a {air}!" says {a}.',
        '"I like it {at}," says {a}.',
        '"How quiet it is {when}," says {a}.',
        '"Come and play!" calls {a}.',
        '"Let us sing!" says {a}.',
        '"I am not tired," says {a}.',
        '"This is fun!" says {a}.',
        '"Follow me!" calls {a}.',
        '"What shall we do now?" asks {a}.',
        '"Once upon a time," begins {a}.',
        '"The world is so big!" says {a}.',
    ),
    *forms(
        "say2", "a:/talking", "",
        '"You are my best friend," says {a} to {o}.',
        '"Shall we play?" {a} asks {o}.',
        '"I am glad you are here," says {a} to {o}.',
        '"Do you hear that?" {a} asks {o}.',
        '"Hold my hand," says {a} to {o}.',
    ),
    *forms("say2", "a:wave/talking", "", '"Come over here!" calls {a} and waves to {o}.'),
    *forms("say1", "a:/talking", "", '"I love the rain!" says {a}.', '"We are getting wet!" says {a}.', weather="rain"),
    *forms("say1", "a:/talking", "", '"I love the snow!" says {a}.', '"Let us build a snowman!" says {a}.', weather="snow"),
    *forms("say1", "a:/talking", "", '"Look at the stars!" says {a}.', weather="clear", time="night"),
    *forms("say1", "a:/talking", "", '"I am hungry," says {a} in the kitchen.', place="kitchen"),
    *forms("say1", "a:/talking", "", '"Let us swim in the lake!" says {a}.', place="lake"),
    *forms("say1", "a:/talking", "", '"The beach is my favourite place," says {a}.', place="beach"),
)  # fmt: skip

SLEEPING: tuple[Form, ...] = (
    *forms("sleep1", "a:sleep", "", "{a} falls asleep {at}.", "{a} closes {his} eyes and sleeps.", "{a} lies down and sleeps {at}.", "{a} is tired and falls asleep."),
    *forms("sleep2", "all:sleep", "", "{all} fall asleep {at}.", "{all} sleep side by side."),
    *forms("sleep2", "a:sleep b:sit", "", "{a} sleeps while {b} sits close by."),
    *forms("sleeping1", "a:sleep", "", "{a} dreams of cookies.", "{a} sleeps on {at}.", "{a} snores softly {when}.", "{a} dreams of the sea and smiles."),
    *forms("sleeping2", "all:sleep", "", "{all} sleep on {at}.", "{all} dream sweet dreams."),
    *forms("wake1", "", "wake:a", "{a} wakes up.", "{a} opens {his} eyes {at}.", "{a} is awake again."),
    *forms("wake1", "a:jump", "wake:a", "{a} wakes up and jumps to {his} feet."),
    *forms("wake1", "a:wave", "wake:a", "{a} wakes up and waves to the sun."),
    *forms("wake1", "a:/talking", "wake:a", '"Good morning!" says {a}, awake at last.'),
    *forms("wake2", "", "wake:all", "{all} wake up.", "{all} are awake again {at}."),
    *forms("wake2", "all:jump", "wake:all", "{all} wake up and jump out of bed."),
    *forms("morning1", "", "time wake:a", "Morning comes, and {a} wakes up {at}.", "{a} wakes up to a new day.", time="day"),
    *forms("morning1", "a:jump/happy", "time wake:a", "The sun rises, and {a} wakes up with a happy jump.", time="day"),
    *forms("morning2", "", "time wake:all", "Morning comes, and {all} wake up {at}.", "{all} wake up to a new day.", time="day"),
)  # fmt: skip
