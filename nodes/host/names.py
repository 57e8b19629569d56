"""Names of files as lists show them, found whatever system wrote them.

Windows lists ``people\\mila.safetensors`` where Linux and macOS list ``people/mila.safetensors``;
workflows and cards go from one to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...seedstory_core.errors import SeedStoryError


def listed(name: str, names: Iterable[str]) -> str | None:
    """That of ``names`` which is ``name``, or is it with the other separators; None: there is none.

    In:  ``"people\\\\mila.safetensors", ["people/mila.safetensors"]``
    Out: ``"people/mila.safetensors"``
    """
    known = list(names)
    if name in known:
        return name
    wanted = name.replace("\\", "/")
    return next((one for one in known if one.replace("\\", "/") == wanted), None)


def can_find(find: Callable[[str], Any], name: str | None) -> bool | str:
    """What a node's ``validate_inputs`` says of ``name``: that ``find`` finds it, or why not.

    ComfyUI itself would compare with the list, and refuse the separators of other systems. None
    stands for a name that comes over a wire.
    """
    try:
        if name is not None:
            find(name)
    except SeedStoryError as error:
        return str(error)
    return True
