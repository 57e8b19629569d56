"""Reads the features of a panel: a safetensors file of a stranger's, small and of few tensors.

Its table of contents is checked before any tensor is made, since each tensor costs half a kilobyte
whatever it holds, and number types that nothing computes with end in errors of other libraries.
"""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load as safetensors_of
from torch import Tensor

from .errors import SeedStoryError
from .story import check_features, check_text
from .strict_json import parse_json, shown

MAX_FEATURES = 256 << 20  # bytes of one panel's features; SEED-Story's own take 2 to 4 MB
MAX_SPACES = 64  # tensors in a file; engines write one or two
MAX_TABLE = 1 << 20  # bytes of its table of contents
DTYPES = frozenset({"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"})


def features_of(data: bytes, where: str, what: str) -> dict[str, Tensor]:
    """``{space: tensor}`` of the bytes of a file; ``where`` it is, of ``what``, for messages.

    Raises:
        SeedStoryError: damaged, or tensors that no panel has: too many, empty ones, NaN, odd types.
    """
    remedy = "Restore the file from a copy, or tell the story anew."
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(MAX_TABLE, len(data) - 8):
        raise SeedStoryError(
            f"{where} is damaged (its table of contents says {length} bytes). {remedy}"
        )
    # a table of many entries is refused before it is read: each has one such key
    if data[8 : 8 + length].count(b"data_offsets") > MAX_SPACES:
        raise SeedStoryError(
            f"{where} has more than {MAX_SPACES} tensors; a panel has features in a few spaces. "
            f"{remedy}"
        )
    table = parse_json(data[8 : 8 + length], f"The table of contents of {where}", remedy)
    if not isinstance(table, dict) or len(table) > MAX_SPACES + 1:
        raise SeedStoryError(f"{where} is damaged (its table of contents is none). {remedy}")
    for space, entry in table.items():
        check_text(space, f"features of {what}")
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        if space != "__metadata__" and (not isinstance(dtype, str) or dtype not in DTYPES):
            raise SeedStoryError(
                f"The features {space!r:.80} of {what} in {where} have numbers of the type "
                f"{shown(dtype)}; expected one of {', '.join(sorted(DTYPES))}. {remedy}"
            )
    try:
        features = safetensors_of(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise SeedStoryError(f"{where} is damaged ({error!s:.300}). {remedy}") from error
    check_features(features, f"{what} in {where}")
    return features
