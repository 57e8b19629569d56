"""Packages that only some formats need: imported when used, and named where they lack."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import SeedStoryError

#: import name -> (name on PyPI, what needs it)
NEEDS = {
    "fpdf": ("fpdf2", "PDF files"),
    "uharfbuzz": ("uharfbuzz", "PDF files"),
    "fontTools": ("fonttools", "fonts inside EPUB and HTML files"),
    "av": ("av", "videos"),
}


def need(name: str) -> ModuleType:
    """The module ``name``.

    Raises:
        SeedStoryError: it is not installed; says what to install.
    """
    package, purpose = NEEDS[name.split(".")[0]]
    try:
        return import_module(name)
    except ImportError as error:
        raise SeedStoryError(
            f"{purpose[0].upper()}{purpose[1:]} need the package {package}, which cannot be "
            f"imported here ({error}). Install it into the Python that runs this: "
            f"pip install {package} (or all of the book press: pip install fpdf2 uharfbuzz "
            "fonttools av)."
        ) from error
