"""What the visual tokenizer is taught to say: a scene's content, or the words of a caption."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import SeedStoryError
from ..picture_world.looks import LOOKS, Look
from ..picture_world.scene import (
    ACTIONS,
    MAX_ACTORS,
    MOODS,
    PLACES,
    PROPS,
    TIMES,
    WEATHERS,
    Scene,
)
from .data import Stories

WORD = re.compile(r"[^\W\d_]+")
MOST_WORDS = 512
LOOK_PARTS = ("species", "fur", "accessory")  # what a figure is told by


class Target(Protocol):
    """Labels, their loss and their figures."""

    @property
    def sizes(self) -> list[int]:
        """The number of logits of each label."""
        ...

    def read(self, stories: Stories) -> Tensor:
        """Labels of all panels, int64 [N, labels]."""
        ...

    def loss(self, said: list[Tensor], labels: Tensor) -> Tensor:
        """Logits [B, size] of each label against [B, labels]."""
        ...

    def figures(self, said: list[Tensor], labels: Tensor) -> dict[str, float]:
        """How much is right."""
        ...


def _kinds(part: str) -> tuple[str, ...]:
    """All values of one part of a look."""
    return tuple(dict.fromkeys(getattr(look, part) for look in LOOKS.values()))


def _fields() -> dict[str, tuple[str, ...]]:
    """Label -> its classes."""
    fields = {
        "place": PLACES,
        "time": TIMES,
        "weather": WEATHERS,
        "actors": tuple(str(count + 1) for count in range(MAX_ACTORS)),
        "item": ("", *PROPS),
    }
    for slot in range(MAX_ACTORS):
        for part in LOOK_PARTS:
            fields[f"{part}_{slot}"] = ("", *_kinds(part))
        fields[f"action_{slot}"] = ("", *ACTIONS)
        fields[f"mood_{slot}"] = ("", *MOODS)
        fields[f"holds_{slot}"] = ("", *PROPS)
    return fields


class SceneLabels:
    """The content of a scene graph: one class of each of `fields`; absent things have class 0."""

    def __init__(self) -> None:
        self.fields = _fields()

    @property
    def sizes(self) -> list[int]:
        return [len(classes) for classes in self.fields.values()]

    def read(self, stories: Stories) -> Tensor:
        assert stories.scenes is not None
        return torch.tensor(
            [self.of(*both) for both in zip(stories.scenes, stories.looks, strict=True)]
        )

    def of(self, scene: Scene, looks: Mapping[str, Look] = LOOKS) -> list[int]:
        """The classes of one scene, drawn with ``looks``."""
        values = {
            "place": scene.place,
            "time": scene.time,
            "weather": scene.weather,
            "actors": str(len(scene.actors)),
            "item": scene.item,
        }
        for slot, actor in enumerate(scene.actors):
            for part in LOOK_PARTS:
                values[f"{part}_{slot}"] = getattr(looks[actor.name], part)
            values[f"action_{slot}"] = actor.action
            values[f"mood_{slot}"] = actor.mood
            values[f"holds_{slot}"] = actor.holds
        return [classes.index(values.get(name) or "") for name, classes in self.fields.items()]

    def loss(self, said: list[Tensor], labels: Tensor) -> Tensor:
        losses = [F.cross_entropy(one.float(), labels[:, i]) for i, one in enumerate(said)]
        return torch.stack(losses).sum()

    def figures(self, said: list[Tensor], labels: Tensor) -> dict[str, float]:
        right = torch.stack([one.argmax(1) == labels[:, i] for i, one in enumerate(said)])
        shares = {
            f"right_{n}": float(r.float().mean()) for n, r in zip(self.fields, right, strict=True)
        }
        return {**shares, "all_right": float(right.all(0).float().mean())}


@dataclass(frozen=True)
class WordLabels:
    """Which of the data's words the caption has; for data without scene graphs."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, stories: Stories) -> WordLabels:
        """The words of at least two captions and not of nearly all, the commonest first.

        Raises:
            SeedStoryError: no word tells captions apart.
        """
        captions = stories.captions
        counts = Counter(word for caption in captions for word in _words(caption))
        words = [w for w, n in counts.most_common() if 2 <= n <= 0.9 * len(captions)]
        if not words:
            raise SeedStoryError(
                "The captions have no words that tell one picture from another (in at least two "
                "captions, and not in all). Write what is different in the pictures."
            )
        return cls(tuple(words[:MOST_WORDS]))

    @property
    def sizes(self) -> list[int]:
        return [len(self.words)]

    def read(self, stories: Stories) -> Tensor:
        place = {word: index for index, word in enumerate(self.words)}
        labels = torch.zeros(len(stories), len(self.words), dtype=torch.int64)
        for row, caption in enumerate(stories.captions):
            for word in _words(caption) & place.keys():
                labels[row, place[word]] = 1
        return labels

    def loss(self, said: list[Tensor], labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(said[0].float(), labels.float()) * len(self.words)

    def figures(self, said: list[Tensor], labels: Tensor) -> dict[str, float]:
        guess, truth = said[0] > 0, labels > 0
        right = float((guess & truth).sum())
        return {"f1": 2 * right / max(1.0, float(guess.sum() + truth.sum()))}


def _words(caption: str) -> set[str]:
    return set(WORD.findall(caption.lower()))
