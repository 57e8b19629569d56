"""Functions of the pack's JavaScript, run by Node without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from .source import ROOT

STUBS = {
    "api.js": "export const api = {};\n",
    "app.js": "export const app = { registerExtension() {} };\n",
}
PATIENCE = 300  # seconds; a second as a rule


class Module:
    """One file of ``web`` with its functions at hand, in a folder where its imports are stubs."""

    def __init__(self, folder: Path, file: str, functions: Sequence[str]) -> None:
        self.node = shutil.which("node") or ""
        if not self.node:
            pytest.skip("Node is not on the PATH, so the functions of the page were not tried")
        (folder / "package.json").write_text('{"type": "module"}')
        (folder / "scripts").mkdir()
        for name, text in STUBS.items():
            (folder / "scripts" / name).write_text(text)
        place = folder / "extensions" / "pack"
        place.mkdir(parents=True)
        source = (ROOT / "web" / file).read_text(encoding="utf-8")
        exports = f"\nexport {{ {', '.join(functions)} }};\n"
        (place / "module.js").write_text(source + exports, encoding="utf-8")
        self._place, self._functions = place, functions

    def run(self, body: str, given: Any = None) -> Any:
        """What ``body`` returns, as JSON; it has the functions by name, and ``given``."""
        text = (
            f"import {{ {', '.join(self._functions)} }} from './module.js';\n"
            "import { readFileSync } from 'node:fs';\n"
            "const given = JSON.parse(readFileSync(0, 'utf8'));\n"
            f"console.log(JSON.stringify(await (async () => {{ {body} }})() ?? null));\n"
        )
        script = self._place / "run.js"
        script.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [self.node, str(script)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
