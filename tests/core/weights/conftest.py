"""Golden official files as conversion inputs, and a world converted from them."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from seedstory_core.engines.seed_story.conversion.inputs import Options
from seedstory_core.engines.seed_story.conversion.world import Inputs, convert
from seedstory_core.world import World

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "seed_story"


def load(name: str, path: Path) -> ModuleType:
    """Import a helper by path; test folders are no packages."""
    spec = importlib.util.spec_from_file_location(
        name,
        path / "__init__.py" if path.is_dir() else path,
        submodule_search_locations=[str(path)] if path.is_dir() else None,
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


load("rehearsal", ROOT / "tests" / "rehearsal")
load("range_server", Path(__file__).with_name("range_server.py"))


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def sizes() -> dict:
    """What shapes do not tell of the golden models, from their manifest."""
    config = json.loads((GOLDEN / "MANIFEST.json").read_text())["config"]
    return {
        "vision": {"heads": config["vit"]["heads"], "image_size": config["vit"]["image_size"]},
        "llm": {"heads": config["llm"]["num_attention_heads"], "max_positions": 2048},
        "input_resampler": {"heads": config["in_heads"]},
        "output_resampler": {"heads": config["out_heads"]},
        "detokenizer": {"heads": config["detok"]["heads"]},
    }


@pytest.fixture(scope="session")
def options(sizes: dict) -> Callable[..., Options]:
    """Options for the golden files; fp32 unless told otherwise."""
    unet_config = json.loads((GOLDEN / "detokenizer_unet_config.json").read_text())

    def make(**more: object) -> Options:
        given = {"dtype": torch.float32, "sizes": sizes, "unet_config": unet_config, **more}
        return Options(**given)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def inputs() -> Inputs:
    return Inputs(
        tokenizer=GOLDEN / "tokenizer",
        agent=GOLDEN / "agent_pytorch_model.bin",
        visual=GOLDEN / "visual_tokenizer.bin",
        detokenizer=GOLDEN / "detokenizer_pytorch_model.bin",
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, inputs: Inputs, options: Callable) -> World:
    """The golden files converted in fp32, with their whole UNet. Do not change it."""
    made = convert(tmp_path_factory.mktemp("worlds") / "golden", inputs, options())
    assert made is not None
    return made
