"""The rehearsal's synthetic files are true to the released layout."""

from pathlib import Path

import torch
from rehearsal import layouts

from seedstory_core.engines.seed_story.conversion.inputs import convert_tokenizer
from seedstory_core.engines.seed_story.keymap import AGENT, VISUAL_TOKENIZER
from seedstory_core.engines.seed_story.tokenizer import Tokenizer
from seedstory_core.weights.reader import open_checkpoint

KEYS = Path(__file__).parents[2] / "golden" / "keys"


def test_the_tokenizer_has_32066_tokens_and_reads_text(tmp_path: Path):
    layouts.write_tokenizer(tmp_path / "tokenizer")
    tokenizer = Tokenizer.from_folder(tmp_path / "tokenizer")
    assert len(tokenizer) == 32066
    text = "George ran to the old tree, n'est-ce pas?"
    ids = tokenizer.encode(text + "<img><img_00000></img>")
    assert ids[-3:] == [32000, 32002, 32001] and max(ids[:-3]) < 32000
    assert tokenizer.decode(ids[:-3]) == text
    assert tokenizer.decode(tokenizer.encode("é \u9f8d")) == "é \u9f8d", (
        "unknown letters go by bytes"
    )
    assert convert_tokenizer(tmp_path / "world", tmp_path / "tokenizer")


def test_checkpoints_are_zip_pickles_with_the_official_keys(tmp_path: Path):
    """Real names; shapes are capped so that the test stays small."""
    pool = layouts.Pool.make(tmp_path / "pool", size=1 << 21)
    for keys, keymap in (("mllm", AGENT), ("visual_tokenizer", VISUAL_TOKENIZER)):
        real = layouts.official_shapes(KEYS / f"{keys}_keys.json")
        shapes = {key: tuple(min(side, 24) for side in shape) for key, shape in real.items()}
        layouts.write_checkpoint(tmp_path / "a.bin", shapes, pool)
        checkpoint = open_checkpoint(tmp_path / "a.bin")
        assert {key: checkpoint.shape(key) for key in checkpoint.keys()} == shapes
        assert all(checkpoint.dtype(key) == torch.float16 for key in shapes)
        assert keymap.recipes(checkpoint.keys())


def test_numbers_are_seeded_finite_and_of_the_right_size(tmp_path: Path):
    shapes = {"a.weight": (1200, 1000), "ln.weight": (4096,), "ln.bias": (4096,), "b": (300, 9)}
    states = []
    for name in ("one", "two"):
        pool = layouts.Pool.make(tmp_path / name, size=1 << 22)
        states.append(layouts.state(shapes, pool))
    first, second = states
    assert all(torch.equal(first[key], second[key]) for key in shapes)
    assert abs(float(first["a.weight"].float().std()) - layouts.STD) < 1e-3
    assert abs(float(first["ln.weight"].float().mean()) - 1) < 0.01
    assert abs(float(first["ln.bias"].float().mean())) < 0.01
