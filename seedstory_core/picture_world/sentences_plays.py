"""Sentences of play: what one does with just this ball, this kite, this book."""

from __future__ import annotations

from .captions import Form, forms

#: What one can do with just this thing.
PLAYS: tuple[Form, ...] = (
    *forms(
        "has", "", "has:a", "{a} bounces the ball {at}.", "{a} rolls the ball around.", prop="ball"
    ),
    *forms("has", "a:jump", "has:a", "{a} throws the ball and jumps to catch it.", prop="ball"),
    *forms(
        "has",
        "",
        "has:a",
        "{a} lights the lantern {at}.",
        "{a} holds the lantern up high.",
        prop="lantern",
    ),
    *forms("has", "a:walk", "has:a", "{a} lights the way with the lantern.", prop="lantern"),
    *forms(
        "has",
        "",
        "has:a",
        "{a} swings the basket {at}.",
        "{a} looks into the basket.",
        prop="basket",
    ),
    *forms("has", "a:walk", "has:a", "{a} gathers berries in the basket.", prop="basket"),
    *forms(
        "has",
        "",
        "has:a",
        "{a} opens the umbrella {at}.",
        "{a} spins the umbrella around.",
        prop="umbrella",
    ),
    *forms("has", "a:sit", "has:a", "{a} sits under the umbrella {at}.", prop="umbrella"),
    *forms(
        "has",
        "",
        "has:a",
        "{a} flies the kite {at}.",
        "{a} lets the kite dance in the wind.",
        prop="kite",
        outdoors=True,
    ),
    *forms("has", "a:walk", "has:a", "{a} runs with the kite {at}.", prop="kite"),
    *forms(
        "has", "", "has:a", "{a} opens the book {at}.", "{a} turns a page of the book.", prop="book"
    ),
    *forms("has", "a:sit", "has:a", "{a} sits and reads the book {at}.", prop="book"),
    *forms("has", "a:/talking", "has:a", "{a} reads aloud from the book.", prop="book"),
    *forms(
        "has",
        "",
        "has:a",
        "{a} polishes the key {at}.",
        "{a} turns the key in the air.",
        prop="key",
    ),
    *forms("has", "a:/talking", "has:a", '"Which door does the key open?" asks {a}.', prop="key"),
    *forms("has", "", "has:a", "{a} smells the cake.", "{a} balances the cake {at}.", prop="cake"),
    *forms("has", "a:/happy", "has:a", "{a} licks a bit of cream from the cake.", prop="cake"),
)
