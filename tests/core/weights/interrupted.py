"""Child process of test_restart.py: converts the goldens and kills itself, or is killed.

``python interrupted.py FOLDER JSON``: JSON has ``kill_at`` (a list of progress calls; for each, a
fork converts into ``FOLDER/<call>`` and kills itself there; 0 means never, into FOLDER itself) and
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

from seedstory_core.engines.seed_story.conversion.inputs import Options  # noqa: E402
from seedstory_core.engines.seed_story.conversion.world import Inputs, convert  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "seed_story"


def convert_goldens(world: Path, settings: dict, kill_at: int) -> None:
    calls = 0

    def progress(done: int, total: int, note: str = "") -> None:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if calls == 1:
            print("begun", flush=True)
        time.sleep(settings["pause"])

    options = Options(
        dtype=torch.float32,
        sizes=settings["sizes"],
        unet_config=json.loads((GOLDEN / "detokenizer_unet_config.json").read_text()),
    )
    inputs = Inputs(
        GOLDEN / "tokenizer",
        GOLDEN / "agent_pytorch_model.bin",
        GOLDEN / "visual_tokenizer.bin",
        GOLDEN / "detokenizer_pytorch_model.bin",
    )
    convert(world, inputs, options, progress=progress)


def main(folder: Path, settings: dict) -> None:
    torch.set_num_threads(1)  # so that a fork has all there is
    for kill_at in settings["kill_at"]:
        if not kill_at:
            convert_goldens(folder, settings, 0)
            continue
        child = os.fork()
        if not child:
            convert_goldens(folder / str(kill_at), settings, kill_at)
            os._exit(0)
        print(f"{kill_at} {os.waitpid(child, 0)[1]}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
