"""Pickles of tensors, without running their code: torch's restricted unpickler, and its limits.

Below torch 2.6 that unpickler could be escaped (CVE-2025-32434), so none is read there.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import SeedStoryError
from .first_bytes import AGAIN, TAR, ZIP

SAFE_SINCE = (2, 6)  # torch
WRAPPERS = ("state_dict", "module", "model")
MAX_MEMBERS = 100_000  # of a zip; one a tensor
# What torch's unpickler raises on bytes that are no pickle, or not a whole one.
_MALFORMED = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, struct.error, zipfile.BadZipFile, MemoryError, NotImplementedError,
)  # fmt: skip
_ASKED = re.compile(r"GLOBAL (\S{1,200})|[Uu]nsupported (?:class|type) (\S{1,200})")


def can_read_pickles(version: str) -> bool:
    """Whether torch of this version, as ``2.10.0a0+git``, unpickles without a way out."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= SAFE_SINCE


def check_pickles_are_safe(path: Path) -> None:
    """Refuse to unpickle ``path`` with a torch that strangers can escape from.

    Raises:
        SeedStoryError: torch is older than `SAFE_SINCE`.
    """
    if not can_read_pickles(str(torch.__version__)):
        raise SeedStoryError(
            f"{path} is a pickle, and torch {torch.__version__} cannot read those safely: code in "
            f"one could run. Update torch to {'.'.join(map(str, SAFE_SINCE))} or later, or get "
            "the file as safetensors."
        )


def read_pickle(path: Path, form: str) -> dict[str, Tensor]:
    """The tensors of a pickle by name, mapped where it is a zip.

    Args:
        form: what `first_bytes.form_of` calls it.

    Raises:
        SeedStoryError: torch is too old, or the file is damaged, wants to run code, or holds
            something else than plain tensors.
    """
    check_pickles_are_safe(path)
    if form == TAR:
        raise SeedStoryError(
            f"{path} is a tar archive: torch saved so until 0.1.10, and torch of today refuses "
            "it. Unpack it, if it is an archive of files, or get the model as safetensors."
        )
    if form == ZIP:
        _check_zip(path)
    try:
        loaded = _load(path, mapped=form == ZIP)
    except pickle.UnpicklingError as error:
        raise SeedStoryError(
            f"{path} is a pickle with more in it than tensors: {_asked_for(error)}. Loading it "
            "could run code, so it is refused. Save the model's state dict alone, best as "
            "safetensors."
        ) from error
    except _MALFORMED as error:
        raise damaged(path, error) from error
    return _tensors(loaded, path)


def damaged(path: Path, error: Exception) -> SeedStoryError:
    """What to say of a checkpoint that cannot be read."""
    size = path.stat().st_size if path.is_file() else 0
    first = str(error).strip().split("\n")[0][:200]
    return SeedStoryError(
        f"{path} ({size} bytes) cannot be read as a checkpoint; it is damaged, cut short, or "
        f"something else. {AGAIN} ({first})"
    )


def _check_zip(path: Path) -> None:
    """Refuse other archives, and members that unpack to more than they are."""
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("not a whole PyTorch file: its end is missing")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, NotImplementedError) as error:
        raise damaged(path, error) from error
    names = [member.filename for member in members[:3]]
    if not any(member.filename.endswith("data.pkl") for member in members):
        raise SeedStoryError(
            f"{path} is a ZIP archive with {', '.join(names) or 'nothing'} in it, not one of "
            "torch.save. Unpack it, and name the file of weights in it."
        )
    if any("constants.pkl" in member.filename for member in members):
        raise SeedStoryError(
            f"{path} is a program saved by TorchScript, not weights alone. Running it is refused. "
            "Get the model's state dict, best as safetensors."
        )
    packed = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    swollen = sum(member.file_size for member in members) > path.stat().st_size
    if packed or swollen or len(members) > MAX_MEMBERS:
        raise SeedStoryError(
            f"{path} was packed by another program than torch.save, which compresses nothing and "
            f"has at most {MAX_MEMBERS} members ({len(members)} here). Get the original file."
        )


def _asked_for(error: Exception) -> str:
    """What torch's unpickler stumbled over, without its advice to load the file unsafely."""
    found = _ASKED.search(str(error))
    if found is None:
        return "something that torch's safe loading does not know"
    return f"it asks for {(found[1] or found[2]).strip('.,')}"


def _tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded:
        raise SeedStoryError(
            f"{path} holds a {type(loaded).__name__}, not a dictionary of tensors."
        )
    for problem, keys in (
        ("no tensors", [k for k, v in loaded.items() if not isinstance(v, Tensor)]),
        ("tensors without data of their own", [k for k, v in loaded.items() if not _plain(v)]),
        ("named by no text", [k for k in loaded if not isinstance(k, str)]),
    ):
        if keys:
            raise SeedStoryError(
                f"{path} holds {len(keys)} entries that are {problem}: "
                f"{', '.join(map(str, keys[:10]))[:400]}. Save the model's state dict alone."
            )
    return dict(loaded)


def _plain(value: object) -> bool:
    """Whether a tensor's numbers are all there: none sparse, of no device, or repeated to size."""
    if not isinstance(value, Tensor):
        return True
    if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized:
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def _load(path: Path, mapped: bool) -> Any:
    """What a pickle holds; newer torch goes by the name, and takes it for safetensors."""
    if path.suffix.lower() != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    with path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)
