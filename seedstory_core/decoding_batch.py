"""Several sayings at once, each as if alone; what they ask of the model goes there together.

A saying (`decoding.saying`) is a generator that asks for rows to be read or a row to be scored. It
keeps its own ids, rules and random generator, so it need not know of the others. Where one reads a
picture and another a word, or one has come to its end, the others do not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from .decoding import Read, Score

T = TypeVar("T")


def together(
    sayings: Mapping[int, Generator[Read | Score, Tensor, T]],
    read: Callable[[Mapping[int, Read]], Mapping[int, Tensor]],
    score: Callable[[Tensor], Tensor],
) -> dict[int, T]:
    """What each saying returns, by its number.

    Args:
        read: what some of them read next -> hidden states [L, D] of each; may raise to cancel.
        score: hidden states [N, D] -> next-token scores [N, V], fp32 on the CPU.
    """
    asked: dict[int, Read | Score] = {}
    said: dict[int, T] = {}

    def go_on(number: int, answer: Tensor | None) -> None:
        try:
            saying = sayings[number]
            asked[number] = next(saying) if answer is None else saying.send(answer)
        except StopIteration as end:
            asked.pop(number, None)
            said[number] = end.value

    try:
        for number in sayings:
            go_on(number, None)
        while asked:
            scored = {n: ask.hidden for n, ask in asked.items() if isinstance(ask, Score)}
            if scored:  # all words are chosen before the next reading, so that none is left out
                answers = score(torch.stack(list(scored.values()))).unbind()
                for number, answer in zip(scored, answers, strict=True):
                    go_on(number, answer)
            else:
                reading = {n: ask for n, ask in asked.items() if isinstance(ask, Read)}
                for number, answer in read(reading).items():
                    go_on(number, answer)
    finally:
        for saying in sayings.values():
            saying.close()
    return said
