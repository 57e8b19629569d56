"""Scripts and character cards, run by ComfyUI's own executor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.executor import Executor

SCRIPT = "# A fox\n\n## 1\nA fox wakes.\n\n## 2\nIt meets Mila.\n\n## 3\nMila runs.\n"


@pytest.fixture(scope="module")
def executor(pack: ModuleType) -> Executor:
    return Executor(pack.nodes.NODES)


@pytest.fixture(autouse=True)
def folders(comfy_here: Path, tmp_path: Path) -> Iterator[Path]:
    import folder_paths

    before = (folder_paths.get_output_directory(), folder_paths.get_input_directory())
    user = folder_paths.get_user_directory()
    for name in ("output", "input", "user"):
        (tmp_path / name).mkdir()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    folder_paths.set_input_directory(str(tmp_path / "input"))
    folder_paths.set_user_directory(str(tmp_path / "user"))
    yield tmp_path
    folder_paths.set_output_directory(before[0])
    folder_paths.set_input_directory(before[1])
    folder_paths.set_user_directory(user)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    prefix = "" if kind[0] == "." else "SeedStory_"
    return {"class_type": prefix + kind.lstrip("."), "inputs": inputs}


def read(**more: Any) -> dict[str, Any]:
    how = {"format": "auto", "first_is_opening": True, "characters": "", "looks": "first panel"}
    return node("ReadScript", **how | more)


def save(**more: Any) -> dict[str, Any]:
    how = {"name": "Mila", "phrase": "a girl in red", "lora": "(none)", "strength": 1.0}
    return node("SaveCharacter", **how | {"replace": False} | more)


def shown(value: list[Any]) -> dict[str, Any]:
    """An output node for text: it keeps the card ``Shown`` with it as its phrase."""
    return save(name="Shown", phrase=value, replace=True)


def test_a_script_file_becomes_an_illustrated_story(
    executor: Executor, pack: ModuleType, folders: Path
) -> None:
    (folders / "input" / "tale.md").write_text(SCRIPT, encoding="utf-8")
    tell = {"panels": 9, "seed": 0, "reference": False}
    prompt = {
        "1": node("LoadWorld", world="babble", precision="auto"),
        "2": node(".EmptyImage", width=64, height=48, batch_size=1, color=0x336699),
        "3": node("LoadScript", file="tale.md"),
        "4": read(text=["3", 0]),
        "5": node("StartStory", vision=["1", 1], image=["2", 0], text=["4", 1], run=["4", 2]),
        "6": node("TellStory", story=["5", 0], llm=["1", 0], captions=["4", 0], **tell),
        "7": node("ShowStory", story=["6", 0]),
    }
    executor.run(prompt)
    shown = executor.outputs["7"]["seedstory_panels"]
    assert [p["caption"] for p in shown] == ["A fox wakes.", "It meets Mila.", "Mila runs."]
    store = pack.seedstory_core.story_store
    story = store.load_story(folders / "output" / "seedstory" / "A fox")
    assert [p.origin for p in story.panels] == ["opening", "illustrated", "illustrated"]
    (folders / "input" / "tale.md").write_text("One.\nTwo.", encoding="utf-8")
    executor.run(prompt)
    assert [p["caption"] for p in executor.outputs["7"]["seedstory_panels"]] == ["One.", "Two."]


def test_looks_of_cards_are_put_in(executor: Executor, folders: Path) -> None:
    executor.run({"1": save()})
    assert (folders / "user" / "seedstory" / "characters" / "Mila" / "card.json").is_file()
    prompt = {"1": read(text=SCRIPT, characters="Mila"), "2": shown(["1", 0])}
    executor.run(prompt)
    assert executor.outputs["1"]["seedstory_text"] == [
        "It meets Mila, a girl in red.", "Mila runs.",
    ]  # fmt: skip
    executor.run({"1": save(phrase="a lady", replace=True)})
    executor.run(prompt)
    assert executor.outputs["1"]["seedstory_text"][0] == "It meets Mila, a lady."


def test_a_card_is_loaded_with_its_picture(executor: Executor) -> None:
    picture = node(".EmptyImage", width=8, height=8, batch_size=1, color=0x00FF00)
    executor.run({"1": picture, "2": save(image=["1", 0])})
    executor.run(
        {
            "3": node("LoadCharacter", card="Mila"),
            "4": node(".PreviewImage", images=["3", 3]),
            "5": shown(["3", 2]),
        }
    )
    assert len(executor.outputs["4"]["images"]) == 1
    assert executor.outputs["5"]["seedstory_text"] == ["Shown, a girl in red"]


def test_characters_loras_are_laid_on(
    executor: Executor, pack: ModuleType, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    loras = folders / "loras"
    loras.mkdir()
    names, extensions = folder_paths.folder_names_and_paths["loras"]
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "loras", ([*names, str(loras)], extensions)
    )
    with torch.inference_mode():
        model = pack.nodes.loaders.LoadWorldPainter.execute(world="babble").args[0]
    key = next(
        k
        for k, v in model.model.state_dict().items()
        if k.startswith("diffusion_model.") and k.endswith("attn2.to_k.weight")
    )
    rows, columns = model.model.state_dict()[key].shape
    base = "lora_unet_" + key.removeprefix("diffusion_model.").removesuffix(".weight").replace(
        ".", "_"
    )
    weights = {f"{base}.lora_down.weight": torch.ones(1, columns)}
    weights |= {f"{base}.lora_up.weight": torch.ones(rows, 1), f"{base}.alpha": torch.tensor(1.0)}
    save_file(weights, loras / "mila.safetensors")
    host, card = pack.nodes.host, pack.seedstory_core.author.Card
    store = pack.seedstory_core.author.save_card
    store(host.characters_folder(), card("Mila", lora="mila.safetensors", strength=0.5))
    store(host.characters_folder(), card("Bruno"))
    act = pack.nodes.authoring.CharacterLoras.execute
    laid = act(model, "Mila").args[0]
    assert laid is not model and key in laid.patches and key not in model.patches
    assert laid.patches[key][0][0] == 0.5
    assert act(model, "Bruno").args[0] is model
    store(host.characters_folder(), card("Ada", lora="gone.safetensors"))
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="no LoRA 'gone"):
        act(model, "*")


def test_mistakes_are_said(pack: ModuleType) -> None:
    nodes, refused = pack.nodes.authoring, pack.seedstory_core.errors.SeedStoryError
    how = (True, "", "first panel")
    cases: list[tuple[str, Any]] = [
        ("no script '../a.md'", lambda: nodes.LoadScript.execute("../a.md")),
        ("only the opening", lambda: nodes.ReadScript.execute("One.", "auto", *how)),
        ("control character", lambda: nodes.ReadScript.execute("One\x00.\nTwo.", "auto", *how)),
        ("10000 words", lambda: nodes.ReadScript.execute("word " * 10_000, "lines", *how)),
        ("no character card", lambda: nodes.ReadScript.execute(
            "One.\nTwo.", "auto", True, "Nobody", "first panel")),
        ("no character card", lambda: nodes.LoadCharacter.execute("../x")),
        ("needs a name", lambda: nodes.SaveCharacter.execute(" ", "", "(none)", 1.0, False)),
    ]  # fmt: skip
    for message, act in cases:
        with pytest.raises(refused, match=message):
            act()
    assert nodes.LoadScript.fingerprint_inputs("gone.md") == "none"
