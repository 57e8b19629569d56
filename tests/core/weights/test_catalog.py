"""The table of outside files: complete, consistent, nothing invented."""

import re
from pathlib import Path

import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.weights import catalog


def test_every_row_is_well_formed():
    keys = [entry.key for entry in catalog.CATALOG]
    assert len(keys) == len(set(keys))
    paths = [entry.path for entry in catalog.CATALOG]
    assert len(paths) == len(set(paths))
    for entry in catalog.CATALOG:
        assert entry.group in catalog.GROUPS
        assert entry.licences and all(key in catalog.LICENCES for key in entry.licences)
        assert entry.sha256 == catalog.UNKNOWN or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert not entry.path.startswith("/") and ".." not in entry.path.split("/")
        assert entry.bytes is None or entry.bytes > 0
    assert {entry.group for entry in catalog.CATALOG} == set(catalog.GROUPS)


def test_a_known_hash_comes_with_a_fixed_commit_and_a_size():
    for entry in catalog.CATALOG:
        known = entry.sha256 != catalog.UNKNOWN
        assert known == (entry.bytes is not None)
        assert known == bool(re.fullmatch(r"[0-9a-f]{40}", entry.revision))


def test_url_and_mirror():
    (entry,) = catalog.find("sdxl-base")
    tail = f"/{entry.repo}/resolve/{entry.revision}/sd_xl_base_1.0.safetensors"
    assert entry.url() == catalog.BASE_URL + tail
    assert entry.url("http://localhost:1/") == "http://localhost:1" + tail


def test_find_takes_groups_and_single_files():
    assert len(catalog.find("tokenizer")) == 4
    assert catalog.find("tokenizer/tokenizer.model")[0].filename.endswith("tokenizer.model")
    with pytest.raises(SeedStoryError, match="'nonsense'.*tokenizer, agent"):
        catalog.find("nonsense")


def test_markdown_names_every_file_and_every_licence():
    table = catalog.markdown_table()
    for entry in catalog.CATALOG:
        assert f"`{entry.key}`" in table and entry.filename in table and entry.path in table
    for licence in catalog.LICENCES.values():
        assert licence.terms in table and licence.link in table
    widths = {row.count("|") for row in table.split("\n\n")[0].splitlines()}
    assert widths == {9}


def test_the_docs_show_this_table():
    """docs/WEIGHTS.md holds the output of `catalog.markdown_table`, word for word."""
    page = Path(__file__).parents[3] / "docs" / "WEIGHTS.md"
    assert catalog.markdown_table() in page.read_text(encoding="utf-8")
