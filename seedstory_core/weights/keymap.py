"""Key maps: which tensors of an official file become which of ours. Data, and total.

A map is a table from name templates to targets. ``{}`` stands for a number and is copied to the
target, ``{*}`` for any rest; a target of None drops the tensor on purpose. A name that no template
covers is an error: nothing is ever skipped silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor

from ..errors import SeedStoryError
from ..parts import some

Shape = tuple[int, ...]
Options = Mapping[str, float]


@dataclass(frozen=True)
class Transform:
    """How official tensors, by role, become one of ours; and which shape comes out.

    Attributes:
        make: ``({role: tensor}, options) -> tensor``.
        shape: ``{role: shape} -> shape``, without reading anything.
        roles: the roles that must be there; others of the same target may be.
    """

    make: Callable[[Mapping[str, Tensor], Options], Tensor]
    shape: Callable[[Mapping[str, Shape]], Shape]
    roles: tuple[str, ...] = ("whole",)
    optional: tuple[str, ...] = ()


def _third(index: int) -> Transform:
    """One of the three equal parts along the first dimension (q, k, v of torch's attention)."""

    def make(parts: Mapping[str, Tensor], options: Options) -> Tensor:
        return parts["whole"].chunk(3)[index]

    def shape(shapes: Mapping[str, Shape]) -> Shape:
        return (shapes["whole"][0] // 3, *shapes["whole"][1:])

    return Transform(make, shape)


def _unbraid(parts: Mapping[str, Tensor], options: Options) -> Tensor:
    """Rows ``(head, q|k|v, d)`` -> ``(q|k|v, head, d)``, with ``options['heads']`` heads."""
    heads = int(options["heads"])
    return rearrange(parts["whole"], "(h three d) ... -> (three h d) ...", h=heads, three=3)


def _merge_lora(parts: Mapping[str, Tensor], options: Options) -> Tensor:
    """``base + alpha / r * up @ down`` in fp32; the base as it is where it has no adapter."""
    base = parts["base"]
    if "down" not in parts:
        return base
    down, up = parts["down"].float(), parts["up"].float()
    return torch.addmm(base.float(), up, down, alpha=options["lora_alpha"] / down.shape[0])


#: By name, so that the tables stay data.
TRANSFORMS: dict[str, Transform] = {
    "as it is": Transform(lambda parts, _: parts["whole"], lambda shapes: shapes["whole"]),
    "transposed": Transform(
        lambda parts, _: parts["whole"].t(), lambda shapes: shapes["whole"][::-1]
    ),
    "without batch": Transform(
        lambda parts, _: parts["whole"].squeeze(0), lambda shapes: shapes["whole"][1:]
    ),
    "unbraided": Transform(_unbraid, lambda shapes: shapes["whole"]),
    "first third": _third(0),
    "second third": _third(1),
    "last third": _third(2),
    "lora merged": Transform(
        _merge_lora, lambda shapes: shapes["base"], roles=("base",), optional=("down", "up")
    ),
}


@dataclass(frozen=True)
class To:
    """A target: our name, the transform's name, and the role the tensor plays in it."""

    name: str
    how: str = "as it is"
    role: str = "whole"


Target = str | To | tuple[To, ...] | None


@dataclass(frozen=True)
class Recipe:
    """How one of our tensors is made; reads only when told to."""

    target: str
    how: str
    sources: Mapping[str, str]

    def make(self, read: Callable[[str], Tensor], options: Options) -> Tensor:
        """The tensor; ``read`` gives an official one by name, ``options`` as the map asks."""
        parts = {role: read(key) for role, key in self.sources.items()}
        return TRANSFORMS[self.how].make(parts, options).contiguous()

    def shape(self, shape_of: Callable[[str], Shape]) -> Shape:
        """The shape it will have."""
        return TRANSFORMS[self.how].shape({r: shape_of(key) for r, key in self.sources.items()})


@dataclass(frozen=True)
class KeyMap:
    """The table for one official file.

    Attributes:
        name: what the file is, for messages.
        rules: ``{official template: target}``.
        options: names of the numbers that `Recipe.make` needs.
    """

    name: str
    rules: Mapping[str, Target]
    options: tuple[str, ...] = ()
    _patterns: list[tuple[re.Pattern[str], Target]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        patterns = [(_pattern(template), target) for template, target in self.rules.items()]
        object.__setattr__(self, "_patterns", patterns)

    def recipes(self, keys: Iterable[str]) -> dict[str, Recipe]:
        """``{our name: recipe}`` for all official ``keys``.

        Raises:
            SeedStoryError: a key is unknown, two keys claim one place, or a part is missing.
        """
        sources: dict[str, dict[str, str]] = {}
        how: dict[str, str] = {}
        unknown = []
        for key in keys:
            targets = self._targets(key)
            if targets is None:
                unknown.append(key)
                continue
            for to in targets:
                roles = sources.setdefault(to.name, {})
                if to.role in roles:
                    raise SeedStoryError(
                        f"{self.name}: {key} and {roles[to.role]} both claim {to.name}."
                    )
                roles[to.role] = key
                how[to.name] = to.how
        if unknown:
            raise SeedStoryError(
                f"{self.name}: {len(unknown)} unknown keys: {some(unknown)}. This is another kind "
                "of file, or a version this pack does not know."
            )
        self._check_parts(sources, how)
        return {name: Recipe(name, how[name], sources[name]) for name in sources}

    def convert(
        self, keys: Iterable[str], read: Callable[[str], Tensor], options: Options
    ) -> dict[str, Tensor]:
        """Our whole state dict at once, for files that fit in memory."""
        recipes = self.recipes(keys)
        return {name: recipe.make(read, options) for name, recipe in recipes.items()}

    def _targets(self, key: str) -> tuple[To, ...] | None:
        """Filled-in targets of ``key``: () when dropped on purpose, None when unknown."""
        for pattern, target in self._patterns:
            match = pattern.fullmatch(key)
            if match:
                targets = (To(target),) if isinstance(target, str) else target or ()
                targets = (targets,) if isinstance(targets, To) else targets
                return tuple(To(to.name.format(*match.groups()), to.how, to.role) for to in targets)
        return None

    def _check_parts(self, sources: Mapping[str, Mapping[str, str]], how: dict[str, str]) -> None:
        for name, roles in sources.items():
            transform = TRANSFORMS[how[name]]
            whole_set = transform.optional if set(transform.optional) & set(roles) else ()
            missing = [role for role in (*transform.roles, *whole_set) if role not in roles]
            if missing:
                raise SeedStoryError(
                    f"{self.name}: {name} cannot be made, its {' and '.join(missing)} part is "
                    f"missing (there is only {', '.join(roles.values())}). The file is incomplete."
                )


def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape(template)
    return re.compile(escaped.replace(r"\{\*\}", ".*").replace(r"\{\}", r"(\d+)"))
