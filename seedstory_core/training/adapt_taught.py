"""How the base world was trained, as far as its adaptation has to go on in the same way.

A world that this package trained says so in its provenance; of others the reference's ways hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import SeedStoryError
from ..world import World

OLDER = 8  # generations of adapted worlds that are looked back at
LLM, PAINTER = "llm", "detokenizer"
#: Of each stage the options that are kept: their least and their largest value, or a switch.
RANGES: Mapping[str, Mapping[str, tuple[float, float] | None]] = {
    LLM: {
        "say_end": None,
        "from_start": (0.0, 1.0),
        "feature_noise": (0.0, 2.0),
        "self_fed": (0.0, 1.0),
        "rec_weight": (0.0, 100.0),
    },
    PAINTER: {"feature_noise": (0.0, 2.0), "high_noise": (0.05, 0.95), "drop": (0.0, 0.9)},
}


@dataclass(frozen=True)
class Taught:
    """Options of the base's own training, by name; {} where they are not known.

    Attributes:
        llm: of its LLM, `RANGES` says which. ``painter``: of its de-tokenizer and UNet.
    """

    llm: Mapping[str, Any] = field(default_factory=dict)
    painter: Mapping[str, Any] = field(default_factory=dict)


#: Of worlds that do not say how they were trained, as converted ones.
REFERENCE = Taught()


def taught_how(world: World) -> Taught:
    """What ``provenance["recipe"]`` of a world says, or of the world that it was adapted from.

    Raises:
        SeedStoryError: an option is none that a training can have had.
    """
    made: Any = world.provenance
    for _ in range(OLDER):
        if not isinstance(made, Mapping) or "recipe" in made:
            break
        base = made.get("base")
        made = base.get("provenance") if isinstance(base, Mapping) else None
    found: Any = made
    for name in ("recipe", "stages"):
        found = found.get(name) if isinstance(found, Mapping) else None
    stages = found if isinstance(found, Mapping) else {}
    return Taught(_options(stages, LLM), _options(stages, PAINTER))


def _options(stages: Mapping[str, Any], stage: str) -> dict[str, Any]:
    found = stages.get(stage)
    options = found.get("options") if isinstance(found, Mapping) else None
    if not isinstance(options, Mapping):
        return {}
    return {
        name: _checked(f"{stage}.options.{name}", options[name], limits)
        for name, limits in RANGES[stage].items()
        if name in options
    }


def _checked(name: str, value: Any, limits: tuple[float, float] | None) -> bool | float:
    if limits is None:
        if isinstance(value, bool):
            return value
        expected = "true or false"
    else:
        low, high = limits
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        if plain and low <= value <= high:
            return float(value)
        expected = f"a number from {low:g} to {high:g}"
    raise SeedStoryError(
        f"The base world says that it was trained with {name} = {value!r:.80}; expected "
        f"{expected}. Get the world anew, or correct provenance.recipe in its world.json."
    )
