"""How the next token is chosen and when a panel is finished: values only, no model and no loop.

The loop that uses them is `decoding.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf, isfinite
from typing import Any, Protocol

import torch
from torch import Tensor

from .errors import SeedStoryError
from .strict_json import like_defaults, shown
from .types import Json

#: Marks fields that came after the first release of the pack's files.
LATER = "later"


class Picker(Protocol):
    """Chooses one token id."""

    def pick(self, scores: Tensor, generator: torch.Generator) -> int:
        """``scores``: [V] fp32 on the CPU, after all rules -> id."""
        ...


@dataclass(frozen=True)
class Greedy:
    """The likeliest token; the seed plays no part (as the reference runs)."""

    def pick(self, scores: Tensor, generator: torch.Generator) -> int:
        return int(scores.argmax())


@dataclass(frozen=True)
class Nucleus:
    """Draws from the smallest set of tokens whose probability reaches ``top_p``."""

    temperature: float = 0.7
    top_p: float = 0.9

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not 0 < self.top_p <= 1:
            raise SeedStoryError(
                "Nucleus sampling needs temperature > 0 and 0 < top_p <= 1, got "
                f"{self.temperature} and {self.top_p}. For the likeliest token use Greedy."
            )

    def pick(self, scores: Tensor, generator: torch.Generator) -> int:
        probs, ids = torch.softmax(scores / self.temperature, dim=-1).sort(descending=True)
        inside = probs.cumsum(-1) - probs < self.top_p  # always keeps the likeliest
        drawn = torch.multinomial(probs * inside, 1, generator=generator)
        return int(ids[drawn])


@dataclass(frozen=True)
class Sampling:
    """Everything that decides a panel's text, given the seed.

    Attributes:
        picker: `Greedy` or `Nucleus`.
        repetition_penalty: 1 = off; > 1 lowers the scores of ids already in this caption.
        no_repeat_ngram: 0 = off; n = no n ids in a row twice within a caption.
        max_caption_tokens: 0 = no cap; at the cap ``<img>`` is forced.
        max_new_tokens: hard end of a panel, image tokens included (500 in the reference scripts).
        stop_at_image: finish a panel at ``</img>``; False decodes on to EOS and takes the last
            picture, as the reference does.
        suppress: score given to picture tokens outside a picture. The reference sets exactly 0.0
            (SPEC quirk 2), so that they can win when all other scores are negative; ``-inf`` never.
        no_repeat_story: 0 = off; n = no n ids in a row that stand in an earlier caption of this
            story, and no earlier caption word for word a second time.
        write_on: what happens behind a given caption when the likeliest next token is none that
            begins the picture. False: the picture is forced, and the caption stays as given. True:
            the model writes on until it begins one, as in vis_george_sink.py; the words it adds
            shape the picture, and are in no caption.
    """

    picker: Greedy | Nucleus = field(default_factory=Greedy)
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    max_caption_tokens: int = 0
    max_new_tokens: int = 500
    stop_at_image: bool = True
    suppress: float = 0.0
    no_repeat_story: int = field(default=0, metadata={LATER: True})
    write_on: bool = field(default=False, metadata={LATER: True})

    def __post_init__(self) -> None:
        if self.repetition_penalty <= 0:
            raise SeedStoryError(f"repetition_penalty must be > 0, got {self.repetition_penalty}.")
        counts = (self.no_repeat_ngram, self.no_repeat_story, self.max_caption_tokens)
        if min(counts) < 0 or self.max_new_tokens < 1:
            raise SeedStoryError(
                "no_repeat_ngram, no_repeat_story and max_caption_tokens must be >= 0 and "
                f"max_new_tokens >= 1, got {counts} and {self.max_new_tokens}."
            )


#: How the released scripts decode.
REFERENCE = Sampling(stop_at_image=False)


def with_temperature(base: Sampling, temperature: float, top_p: float) -> Sampling:
    """``base`` with the two numbers users turn; temperature 0 is `Greedy`.

    When words are drawn, picture tokens outside a picture are never among them: the reference's
    score of 0.0, harmless to the likeliest token, would leave each of them a chance.
    """
    if temperature == 0:
        return replace(base, picker=Greedy())
    return replace(base, picker=Nucleus(temperature, top_p), suppress=-inf)


def describe(value: object) -> dict[str, Json]:
    """A strategy dataclass as plain JSON: class name and fields; infinite numbers as text.

    Fields marked `LATER` are left out at their default: what was written before they came compares
    equal, and older versions read what is written now.
    """
    told = {
        key: describe(getattr(value, key)) if isinstance(item, dict) else _plain(item)
        for key, item in asdict(value).items()  # type: ignore[call-overload]
    }
    for slot in fields(value):  # type: ignore[arg-type]
        if slot.metadata.get(LATER) and getattr(value, slot.name) == slot.default:
            del told[slot.name]
    return {"class": type(value).__name__, **told}


def _plain(item: Json) -> Json:
    return str(item) if isinstance(item, float) and not isfinite(item) else item


def restore(data: Mapping[str, Any]) -> Sampling:
    """What `describe` wrote of a `Sampling`, as in a world's defaults; absent fields by default.

    Raises:
        SeedStoryError: a class or field that this version does not know.
    """
    kinds = {"Greedy": Greedy, "Nucleus": Nucleus}
    try:
        told = {key: value for key, value in data.items() if key not in ("class", "picker")}
        picker = dict(data.get("picker", {"class": "Greedy"}))
        kind = kinds[picker.pop("class")]
        if told.get("suppress") == str(-inf):
            return replace(_made(kind, picker, {**told, "suppress": 0.0}), suppress=-inf)
        return _made(kind, picker, told)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise SeedStoryError(f"Unknown sampling {shown(data)} ({error}); update the pack.") from (
            error
        )


def _made(kind: Any, picker: Mapping[str, Any], told: Mapping[str, Any]) -> Sampling:
    made = kind(**like_defaults(kind, picker, "picker"))
    return Sampling(picker=made, **like_defaults(Sampling, told, "sampling"))
