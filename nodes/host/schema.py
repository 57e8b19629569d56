"""Node schemas that work on old and new hosts."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io


def schema(**fields: Any) -> io.Schema:
    """``io.Schema`` without the fields this host does not know yet."""
    known = io.Schema.__dataclass_fields__
    return io.Schema(**{name: value for name, value in fields.items() if name in known})
