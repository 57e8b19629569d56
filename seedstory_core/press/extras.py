"""Packages that only some formats need: imported when used, and named where they lack.

fontTools logs a dozen lines at INFO for each font; they are not asked for.
"""

from __future__ import annotations

import logging
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
    _hush(logging.getLogger("fontTools"))  # which fpdf uses, too
    try:
        return import_module(name)
    except ImportError as error:
        raise SeedStoryError(
            f"{purpose[0].upper()}{purpose[1:]} need the package {package}, which cannot be "
            f"imported here ({error}). Install it into the Python that runs this: "
            f"pip install {package} (or all of the book press: pip install fpdf2 uharfbuzz "
            "fonttools av)."
        ) from error


def _hush(logger: logging.Logger) -> None:
    """Keep a library's everyday words out of the host's log, unless somebody wants them there."""
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
