"""Translations and help pages say what the schemas say, in both languages."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

import pytest
from support.comfy_places import ROOT
from support.help_pages import head, page_path, tables

CJK = re.compile("[\u4e00-\u9fff]")
SAME_IN_CHINESE = {"VAE", "top_p", "Sigmas", "CFG"}


def translation(language: str, name: str = "nodeDefs") -> dict[str, Any]:
    return json.loads((ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8"))


def described(info: dict[str, Any]) -> dict[str, Any]:
    """The part of ``/object_info`` that is translated, in the layout of nodeDefs.json."""
    groups = [info["input"].get(group, {}) for group in ("required", "optional")]
    inputs = {
        name: {"name": name, "tooltip": options["tooltip"]}
        for group in groups
        for name, (_, options) in group.items()
    }
    pairs = zip(info["output_name"], info["output_tooltips"], strict=True)
    outputs = {str(n): {"name": name, "tooltip": tip} for n, (name, tip) in enumerate(pairs)}
    text = {"display_name": info["display_name"], "description": info["description"]}
    return text | ({"inputs": inputs} if inputs else {}) | {"outputs": outputs}


@pytest.fixture(scope="module")
def live(pack: ModuleType) -> dict[str, Any]:
    infos = [kind.GET_NODE_INFO_V1() for kind in pack.nodes.NODES]
    return {info["name"]: described(info) for info in infos}


def test_english_is_what_the_schemas_say(live: dict[str, Any]) -> None:
    assert translation("en") == live


def leaves(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [s for v in value.values() for s in leaves(v)]


def shape(value: Any) -> Any:
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else ""


def test_chinese_is_complete(live: dict[str, Any]) -> None:
    chinese = translation("zh")
    assert shape(chinese) == shape(live)
    untranslated = [s for s in leaves(chinese) if not CJK.search(s) and s not in SAME_IN_CHINESE]
    assert untranslated == []


def test_categories_are_translated(pack: ModuleType) -> None:
    used = {part for kind in pack.nodes.NODES for part in kind.GET_SCHEMA().category.split("/")}
    for language in ("en", "zh"):
        assert set(translation(language, "main")["nodeCategories"]) == used


@pytest.mark.parametrize("language", ["en", "zh"])
def test_help_pages_are_true_and_say_more(live: dict[str, Any], language: str) -> None:
    for node_id, node in translation(language).items():
        page = page_path(node_id, language).read_text(encoding="utf-8")
        top, bottom = head(node), tables(node, language)
        assert page.startswith(top), node_id
        assert page.endswith(bottom), node_id
        assert len(page) - len(top) - len(bottom) > 10, f"{node_id} has no notes"


def test_every_help_page_has_a_node(live: dict[str, Any]) -> None:
    docs = ROOT / "web" / "docs"
    assert {path.stem for path in docs.glob("*.md")} == set(live)
    assert {path.parent.name for path in docs.glob("*/*.md")} == set(live)


def test_javascript_names_real_nodes_and_types(pack: ModuleType, live: dict[str, Any]) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "web").glob("*.js"))
    named = set(re.findall(r"SeedStory_\w+", source))
    assert named and named <= set(live)
    types = {
        value.io_type for value in vars(pack.nodes.types).values() if hasattr(value, "io_type")
    }
    assert set(re.findall(r"SEEDSTORY_[A-Z]+", source)) == {str(name) for name in types}
    assert pack.nodes.host.progress.TEXT_EVENT in source
    assert pack.nodes.host.keeping.KEPT_EVENT in source
