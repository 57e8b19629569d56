"""Write ``workflows/``: the UI graphs and their API twins, from `examples` and a live server.

Run in ``tests/``: ``python -m support.graphs.build``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..comfy_places import find_comfy
from ..server import ComfyServer
from .checks import REFERENCE_NOISE
from .examples import EXAMPLES
from .ui_graph import api_form, ui_form

FOLDER = Path(__file__).resolve().parents[3] / "workflows"


def files(info: Mapping[str, Any]) -> dict[Path, str]:
    """``{path: content}`` of all workflow files for the classes in ``/object_info``."""
    made = {}
    for graph in EXAMPLES:
        made[FOLDER / f"{graph.name}.json"] = _text(ui_form(graph, info))
        made[FOLDER / "api" / f"{graph.name}.json"] = _text(api_form(graph, info))
    name = f"{REFERENCE_NOISE.name}.json"
    made[FOLDER / "tests" / name] = _text(ui_form(REFERENCE_NOISE, info))
    return made


def write(info: Mapping[str, Any]) -> None:
    """Write what `files` says."""
    for path, content in files(info).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files from a server of the ComfyUI that the tests use."""
    comfy = find_comfy()
    assert comfy is not None, "no ComfyUI found: set COMFYUI_PATH"
    with tempfile.TemporaryDirectory() as base:
        server = ComfyServer(comfy, Path(sys.executable), Path(base))
        try:
            write(server.start().object_info())
        finally:
            server.stop()


if __name__ == "__main__":
    main()
