"""Child process of test_restart.py: converts the goldens and kills itself, or is killed.

``python interrupted.py WORLD JSON``: JSON has ``kill_at`` (progress call, 0 for never) and
``pause`` (seconds each call waits, so that a parent's signal comes in the middle).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from seedstory_core.weights.convert import Options  # noqa: E402
from seedstory_core.weights.convert_world import Inputs, convert  # noqa: E402


def main(world: Path, settings: dict) -> None:
    golden = ROOT / "tests" / "golden" / "seed_story"
    calls = 0

    def progress(done: int, total: int, note: str = "") -> None:
        nonlocal calls
        calls += 1
        if calls == settings["kill_at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if calls == 1:
            print("begun", flush=True)
        time.sleep(settings["pause"])

    options = Options(
        dtype=torch.float32,
        sizes=settings["sizes"],
        unet_config=json.loads((golden / "detokenizer_unet_config.json").read_text()),
    )
    inputs = Inputs(
        golden / "tokenizer",
        golden / "agent_pytorch_model.bin",
        golden / "visual_tokenizer.bin",
        golden / "detokenizer_pytorch_model.bin",
    )
    convert(world, inputs, options, progress=progress)
    print(f"calls {calls}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
