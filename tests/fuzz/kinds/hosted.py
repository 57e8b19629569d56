"""What only runs beside ComfyUI: LoRAs, ControlNets, and what the page asks the server for."""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import torch
from safetensors.torch import save

from ...support import picture_painter
from ...support.comfy_places import ROOT, find_comfy
from ...support.pack import load_pack
from .. import damage, odd, prose, tensors
from ..harness import Kind
from . import pickles
from .stories import Sound

PACK = "seedstory_pack"
#: Picture painters at a size at which a file of weights is small.
UNET = {**picture_painter.UNET, "block_out_channels": [32, 64], "attention_head_dim": [1, 2]}
SHARED = ("in_channels", "block_out_channels", "layers_per_block", "down_block_types",
          "transformer_layers_per_block", "attention_head_dim", "norm_num_groups",
          "cross_attention_dim", "use_linear_projection", "addition_embed_type",
          "addition_time_embed_dim", "projection_class_embeddings_input_dim")  # fmt: skip
FORMS = (
    "{}.lora_up.weight {}.lora_down.weight {}.alpha", "{}.lora_B.weight {}.lora_A.weight",
    "{}.hada_w1_a {}.hada_w1_b {}.hada_w2_a {}.hada_w2_b", "{}.lokr_w1 {}.lokr_w2 {}.alpha",
    "{}.diff {}.diff_b", "{}.oft_blocks {}.alpha", "{}.lora_up.weight", "{}.dora_scale {}.alpha",
    "{}.reshape_weight {}.lora_up.weight {}.lora_down.weight"
)  # fmt: skip


def hosted_kinds(place: Path, sound: Sound) -> dict[str, Kind]:
    """By name; none where no ComfyUI is found."""
    tree = find_comfy()
    if tree is None:
        return {}
    pack = _pack(tree, place / "base")
    model = _model(pack, place)
    made: list[Kind] = [Loras(pack, model), ControlNets(pack, model), Routes(pack, sound)]
    made.append(Widgets(pack))
    return {kind.name: kind for kind in made}


def _pack(tree: Path, base: Path) -> ModuleType:
    """The pack as ComfyUI loads it, in this process."""
    (base / "custom_nodes").mkdir(parents=True)
    sys.argv = ["main.py", "--cpu", "--base-directory", str(base)]
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    sys.path.insert(0, str(tree))
    importlib.import_module("comfy.options").enable_args_parsing()
    importlib.import_module("utils.install_util")  # before nodes, which hides ComfyUI's utils
    importlib.import_module("nodes")
    return load_pack(PACK)


def _model(pack: ModuleType, place: Path) -> Any:
    """A small MODEL of a drawn world."""
    diffusers: Any = importlib.import_module("diffusers")
    palette = importlib.import_module(f"{PACK}.seedstory_core.painter.palette_vae")
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(**UNET).eval().requires_grad_(False)
    folder = picture_painter.write_world(place / "drawn", unet, picture_painter.make_vae(palette))
    data = json.loads((folder / "world.json").read_text())
    data["painter"]["unet"] = UNET
    (folder / "world.json").write_text(json.dumps(data))
    with torch.inference_mode():
        return pack.nodes.host.load_painter(pack.seedstory_core.world.load_world(folder))[0]


def _list_only(kind: str, folder: Path) -> None:
    """ComfyUI finds files of ``kind`` in this folder and nowhere else."""
    import folder_paths

    known = folder_paths.folder_names_and_paths[kind]
    folder_paths.folder_names_and_paths[kind] = ([str(folder)], known[1])
    folder_paths.filename_list_cache.pop(kind, None)


class Loras:
    """LoRA files, by the names that cards give them."""

    name = "lora"

    def __init__(self, pack: ModuleType, model: Any) -> None:
        import comfy.lora

        self._host, self._model = pack.nodes.host, model
        keys = comfy.lora.model_lora_keys_unet(model.model, {})
        self._keys = sorted(key for key in keys if isinstance(key, str))

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        _list_only("loras", folder)
        name = rng.choice(("a.safetensors", "a.safetensors", "sub/a.safetensors", "a.pt", "a.ckpt"))
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        roll = rng.random()
        data = self._lora(rng)
        if roll < 0.5:
            data = tensors.mutated(rng, data)
        elif roll < 0.65:
            data = pickles.checkpoint(rng)
        path.write_bytes(data)
        asked = rng.choice((name, name, name, name.replace("/", "\\"), rng.choice(odd.NAMES)))
        strength = rng.choice((1.0, 0.0, -10.0, 1e300))
        return lambda: self._host.with_lora(self._model, asked, strength)

    def _lora(self, rng: random.Random) -> bytes:
        """Some keys of the model, or of others, in any naming."""
        state = {}
        for _ in range(rng.choice((1, 3, 8))):
            key = (
                rng.choice(self._keys)
                if rng.random() < 0.8
                else rng.choice(("lora_te1_x", "a", ""))
            )
            for form in rng.choice(FORMS).split(" "):
                shape = rng.choice(
                    ((4, 32), (32, 4), (4, 256), (64, 4), (), (1,), (3, 3, 3, 3), (0, 4))
                )
                state[form.format(key)] = torch.ones(
                    shape, dtype=rng.choice((torch.half, torch.float))
                )
        return save(state)


class ControlNets:
    """ControlNets for a drawn world's MODEL, in both namings."""

    name = "controlnet"

    def __init__(self, pack: ModuleType, model: Any) -> None:
        diffusers: Any = importlib.import_module("diffusers")
        self._host, self._model = pack.nodes.host, model
        torch.manual_seed(1)
        net = diffusers.ControlNetModel(
            **{key: UNET[key] for key in SHARED},
            conditioning_embedding_out_channels=(16, 32, 96, 256),
        )
        self._state = {key: value.half() for key, value in net.state_dict().items()}
        self._file = save(self._state)

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        _list_only("controlnet", folder)
        name = rng.choice(("a.safetensors", "a.safetensors", "a.pth"))
        roll = rng.random()
        if roll < 0.55:
            data = tensors.mutated(rng, self._file)
        elif roll < 0.8:
            data = save(self._changed(rng))
        elif roll < 0.95:
            data = pickles.checkpoint(rng)
        else:
            data = self._file
        (folder / name).write_bytes(data)
        asked = name if rng.random() < 0.9 else rng.choice((*odd.NAMES, "babble: x", "x: y"))

        def read() -> None:
            path = self._host.find_controlnet(asked)
            with torch.inference_mode():
                self._host.load_controlnet(path, self._model)

        return read

    def _changed(self, rng: random.Random) -> Mapping[str, torch.Tensor]:
        """The sound state with names or shapes of another."""
        state = dict(self._state)
        for _ in range(rng.choice((1, 2, 5))):
            key = rng.choice(sorted(state))
            value = state.pop(key)
            roll = rng.randrange(5)
            if roll == 0:
                state[f"control_model.{key}"] = value
            elif roll == 1:
                state[
                    f"controlnet_down_blocks.{rng.choice(('0', 'x', '0.y', '-1.z', '9.weight'))}"
                ] = value
            elif roll == 2:
                state[key] = value[None].contiguous()
            elif roll == 3:
                state[key] = value.to(rng.choice((torch.int64, torch.bool, torch.float64)))
        return state


class Routes:
    """Queries of the page, over a folder of stories from elsewhere."""

    name = "route"

    def __init__(self, pack: ModuleType, sound: Sound) -> None:
        self._sound = sound
        from aiohttp import web

        table = web.RouteTableDef()
        importlib.import_module(f"{PACK}.nodes.host.routes").add_routes(table)
        self._routes = {route.path: route.handler for route in table}  # type: ignore[union-attr]

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        import folder_paths
        from aiohttp.test_utils import make_mocked_request

        folder_paths.set_output_directory(str(folder))
        names = [f"tale{number}" for number in range(rng.choice((1, 2, 4)))]
        for name in names:
            members = self._sound.tampered(rng) if rng.random() < 0.8 else self._sound.members
            for member, data in members.items():
                path = folder / "seedstory" / name / member
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        path, query = rng.choice(list(self._routes)), self._query(rng, names)
        request = make_mocked_request("GET", f"{path}?{query}")

        def read() -> None:
            answer = asyncio.run(self._routes[path](request))
            assert answer.status < 500
            json.loads(answer.text)

        return read

    def _query(self, rng: random.Random, names: list[str]) -> str:
        parts = []
        for _ in range(rng.choice((0, 1, 3, 100))):
            key = rng.choice(("folder", "folder", "folder", "client", "after", "", "x"))
            value = rng.choice((*names, *odd.TEXTS[:60], prose.sentence(rng), "\u0663", "9" * 15))
            safe = value.encode(errors="replace").decode()[:2000]
            parts.append(
                f"{key}={quote(safe)}"
                if rng.random() < 0.95
                else f"{key}={quote(damage.noise(rng))}"
            )
        return "&".join(parts)


class Widgets:
    """Texts in the widgets of a stranger's workflow: names of files, templates, languages."""

    name = "widget"

    def __init__(self, pack: ModuleType) -> None:
        host = pack.nodes.host
        story = importlib.import_module(f"{PACK}.seedstory_core.story")
        types = importlib.import_module(f"{PACK}.seedstory_core.types")
        cast = importlib.import_module(f"{PACK}.seedstory_core.author").cast
        empty = types.Story((), "seed-story", types.WorldRef("w", "0" * 64), "tale")
        tale = story.append(empty, types.Panel("A fox.", "A fox.", "opening"))
        ours = importlib.import_module(f"{PACK}.nodes.host.pages").own_font
        folder = importlib.import_module(f"{PACK}.nodes.host.folders").story_folder
        self._uses: tuple[Callable[[str], object], ...] = (
            host.carrier,
            host.script_file,
            host.find_controlnet,
            host.find_story,
            folder,
            host.open_named_world,
            ours,
            lambda text: host.save_file(tale, text),
            lambda text: host.book_settings(text, "A5", "(automatic)", ""),
            lambda text: host.book_settings("single", text, "(automatic)", ""),
            lambda text: host.book_settings("single", "A5", text, ""),
            lambda text: host.book_settings("single", "A5", "(automatic)", text),
            lambda text: host.book_settings("single", "A5", "(automatic)", "", language=text),
            lambda text: cast(host.characters_folder(), text),
        )

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        import folder_paths

        for setter in ("output", "input", "temp", "user"):
            getattr(folder_paths, f"set_{setter}_directory")(str(folder / setter))
            (folder / setter).mkdir()
        (folder / "input" / "tale.png").write_bytes(b"x")
        use = rng.choice(self._uses)
        name = rng.choice((*odd.NAMES, *odd.TEXTS, "tale.png", prose.sentence(rng)))
        marks = (
            "",
            "",
            "",
            " [output]",
            " [temp]",
            " [input]",
            "%date:yyyy%",
            "%width%",
            "/",
            " [x]",
        )
        text = name + rng.choice(marks)
        return lambda: use(text)
