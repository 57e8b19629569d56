"""What a file of weights really is, by its first bytes: its name may say anything."""

from __future__ import annotations

import struct
from pathlib import Path

from ..errors import SeedStoryError

SAFETENSORS, ZIP, PICKLE, TAR = "safetensors", "zip", "pickle", "tar"
LOOKED_AT = 1024  # bytes
MAX_HEADER = 16 << 20  # bytes of a safetensors header; one of 2,500 tensors takes 0.3 MB
MAX_TENSORS = 20_000  # of one file; SDXL in one file has 2,515

AGAIN = "Download or copy it again."
_LIST = struct.Struct("<Q")  # a safetensors file begins with the length of its header

#: Beginnings -> what has them, and what to do. Looked through in this order.
_OTHERS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"version https://git-lfs",), "a Git LFS pointer, not the file itself",
     "Fetch the file with: git lfs pull"),
    ((b"# xet version",), "a Xet pointer, not the file itself", AGAIN),
    ((b"GGUF", b"lmgg", b"ggjt", b"tjgg"), "a GGUF or GGML file of llama.cpp",
     "Get the model as safetensors."),
    ((b"\x89HDF",), "an HDF5 file, as Keras saves", "Get the model as safetensors."),
    ((b"\x93NUMPY",), "a NumPy array", "Get the model as safetensors."),
    ((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd"),
     "a packed archive", "Unpack it first."),
    ((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"%PDF"), "a picture or another document",
     AGAIN),
)  # fmt: skip
_WEB = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")


def form_of(path: Path) -> str:
    """`SAFETENSORS`, `ZIP`, `PICKLE` or `TAR`.

    Raises:
        SeedStoryError: it is something else, which is named, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            first = file.read(LOOKED_AT)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise SeedStoryError(f"{path} cannot be read ({error}). {AGAIN}") from error
    if looks_like_safetensors(first, size):
        return SAFETENSORS
    if first.startswith(b"PK\x03\x04"):
        return ZIP
    if first[257:262] == b"ustar":
        return TAR
    kind, remedy = _other(first)
    if not kind and first[:1] == b"\x80" and first[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return PICKLE
    kind = kind or "damaged, cut short, or something else"
    raise SeedStoryError(
        f"{path} ({size} bytes) cannot be read as a checkpoint: it is {kind}. {remedy or AGAIN}"
    )


def looks_like_safetensors(first: bytes, size: int) -> bool:
    """Whether a file of ``size`` bytes begins as safetensors do: a length, then a JSON object."""
    if len(first) < 9 or first[8:9] != b"{":
        return False
    return _LIST.unpack(first[:8])[0] <= size - 8


def check_safetensors(path: Path, most: int = MAX_TENSORS) -> None:
    """Refuse what is no safetensors file, and headers that cost more than any model's.

    Raises:
        SeedStoryError: it is something else, or has more than ``most`` tensors.
    """
    form = form_of(path)
    if form != SAFETENSORS:
        raise SeedStoryError(
            f"{path} is a {form} file, whatever its name says; only safetensors are read here. "
            "Save its tensors as safetensors."
        )
    with open(path, "rb") as file:
        length = _LIST.unpack(file.read(8))[0]
        if length <= MAX_HEADER and file.read(length).count(b'"data_offsets"') <= most:
            return
    raise SeedStoryError(
        f"{path} lists more than {most} tensors, or {length} bytes of names: more than a model "
        "has. It is not read."
    )


def _other(first: bytes) -> tuple[str, str]:
    """What else begins so, and what to do; "" and "" for what is not known."""
    if not first:
        return "damaged: empty", AGAIN
    if first[8:10] == b'{"' and _LIST.unpack(first[:8])[0] <= MAX_HEADER:
        return "damaged: cut short within its list of tensors", AGAIN
    if not any(first):
        return "nothing but zeros, as of a download that was broken off", AGAIN
    for beginnings, kind, remedy in _OTHERS:
        if first.startswith(beginnings):
            return kind, remedy
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_WEB):
        return "an HTML page, as a site sends in place of a file that asks for a login", AGAIN
    if b"onnx" in first.lower() or (first[:1] == b"\x08" and b"pytorch" in first):
        return "an ONNX graph", "Get the model as safetensors."
    if text.startswith((b"{", b"[")):
        return "JSON text, not weights", "Name the file of weights beside it."
    if _is_text(first):
        return "plain text, not weights", AGAIN
    return "", ""


def _is_text(first: bytes) -> bool:
    try:
        return first.decode().isprintable() or b"\n" in first and b"\0" not in first
    except UnicodeDecodeError:
        return False
