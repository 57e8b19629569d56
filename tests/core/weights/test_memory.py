"""Converting needs the memory of a few tensors, however large the file is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rehearsal import layouts, memory

ROOT = Path(__file__).parents[3]
MIB, GIB = 1 << 20, 1 << 30
CHILD = """
import sys; sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from rehearsal.memory import Peak, rss
from seedstory_core.engines.seed_story.conversion.inputs import Options, convert_agent
import json, torch
torch.set_num_threads(1)
sizes = {{name: {{"heads": 4}} for name in ("llm", "input_resampler", "output_resampler")}}
golden = Path({tests!r}, "golden", "seed_story", "agent_pytorch_model.bin")
convert_agent(Path(sys.argv[1], "first"), golden, Options(sizes=sizes))  # late imports of torch
before = rss()["anonymous"]
with Peak() as peak:
    convert_agent(Path(sys.argv[1]), Path(sys.argv[2]), Options())
print(json.dumps({{"grown": peak.bytes["anonymous"] - before, "peak": peak.bytes["anonymous"]}}))
"""


def agent_shapes(width: int, layers: int, mlp: int, vocab: int = 4096) -> dict[str, tuple]:
    """The agent's layout at other sizes, from the recorded keys of the real one."""
    swap = {4096: width, 11008: mlp, 32066: vocab, 12288: 3 * width}
    keys = ROOT / "tests" / "golden" / "keys" / "mllm_keys.json"
    return {
        key: tuple(swap.get(side, side) for side in shape)
        for key, shape in layouts.official_shapes(keys).items()
        if ".layers." not in key or int(key.split(".layers.")[1].split(".")[0]) < layers
    }


def converted(tmp_path: Path, shapes: dict[str, tuple], pool: int) -> tuple[int, dict]:
    """Size of the synthetic file, and the memory its conversion took in a process of its own."""
    source = tmp_path / "agent.bin"
    pool_file = layouts.Pool.make(tmp_path / "pool", size=pool)
    size = layouts.write_checkpoint(source, shapes, pool_file)
    code = CHILD.format(root=str(ROOT), tests=str(ROOT / "tests"))
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "w"), str(source)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return size, json.loads(result.stdout)


@pytest.mark.skipif(not memory.rss(), reason="needs /proc/self/status (Linux)")
def test_memory_is_bound_by_tensors_not_by_the_file(tmp_path: Path):
    """The largest tensor is 1408 x 512; merging holds a few fp32 copies of one."""
    shapes = agent_shapes(width=512, layers=14, mlp=1408, vocab=1024)
    size, used = converted(tmp_path, shapes, pool=1 << 24)
    largest = 4 * 1408 * 512
    assert size > 80 * MIB
    assert used["grown"] < 6 * largest < size / 4, used
    assert (tmp_path / "w" / "llm.safetensors").stat().st_size > 0.9 * size


@pytest.mark.slow
@pytest.mark.skipif(not memory.rss(), reason="needs /proc/self/status (Linux)")
def test_several_gigabytes_of_official_width_stay_far_below_four(tmp_path: Path):
    """12 of the 32 layers at the released sizes: 5.6 GB; tensors are as large as the real ones."""
    size, used = converted(tmp_path, agent_shapes(4096, 12, 11008, 32066), pool=1 << 28)
    assert size > 5 * GIB
    assert used["peak"] < 2 * GIB, used
