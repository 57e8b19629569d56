"""The checks of other tools, run as tests so that one closing line tells of all of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.source import ROOT

SCRIPTS = Path(sys.executable).parent
REPORT_CODES = (0, 1)  # anything else: the tool itself could not run


def run(tool: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment in the root of the repository."""
    found = shutil.which(tool, path=SCRIPTS)
    if found is None:
        pytest.skip(f"not found: {tool} (pip install the test extra)")
    return subprocess.run([found, *words], cwd=ROOT, capture_output=True, text=True)


def test_ruff_finds_nothing() -> None:
    done = run("ruff", "check", ".")
    assert done.returncode == 0, done.stdout


def test_the_format_is_ruffs() -> None:
    done = run("ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout


def test_pyright_finds_nothing() -> None:
    done = run("pyright", "--pythonpath", sys.executable)
    if done.returncode not in REPORT_CODES:
        pytest.skip(f"pyright could not be set up here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stdout


def test_comfy_test_lint_finds_nothing() -> None:
    done = run("comfy-test", "lint", ".")
    assert done.returncode == 0, done.stdout
    assert "[SYNTAX] PASSED" in done.stdout and "[JAVASCRIPT] PASSED" in done.stdout
