"""Full-size rehearsal: write, convert, delete, examine, tell, paint. Opt-in.

``python tests/rehearsal/rehearse.py --work DIR`` needs 24 GB of RAM, about 45 GB of free disk and
half an hour of two cores. Writes ``rehearsal.json`` and ``rehearsal.txt`` into DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from rehearsal.layouts import Pool, official_shapes, write_checkpoint, write_tokenizer  # noqa: E402
from rehearsal.memory import Peak  # noqa: E402

KEYS = ROOT / "tests" / "golden" / "keys"
NEEDED_DISK = 45 << 30
GIB = 1 << 30
#: Option of ``convert``, list of keys, file name as released.
FILES = (
    ("agent", "mllm_keys.json", "pytorch_model.bin"),
    ("visual", "visual_tokenizer_keys.json", "qwen_vit_G.pt"),
    ("detokenizer", "detokenizer_keys.json", "pytorch_model.bin"),
)


class Rehearsal:
    """Runs the acts in order and keeps what they took."""

    def __init__(self, work: Path, threads: int) -> None:
        self.work = work
        self.sources = work / "official"
        self.models = work / "models"
        self.world = self.models / "seedstory" / "rehearsal"
        self.steps: dict[str, dict[str, Any]] = {}
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}

    def run(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.work).free < NEEDED_DISK:
            raise SystemExit(f"{self.work} has less than {NEEDED_DISK >> 30} GB free.")
        self._tokenizer()
        self._measured("pool of random numbers", lambda: Pool.make(self.work / "pool"))
        for option, keys, name in FILES:
            self._file(option, keys, name)
        (self.work / "pool").unlink()
        self._vae()
        self._command("doctor", ["doctor", "--models", str(self.models)])
        self._command("doctor --deep", ["doctor", "--deep", "--models", str(self.models)])
        self._story()

    def _tokenizer(self) -> None:
        folder = self.sources / "cvlm_llama2_tokenizer"
        write_tokenizer(folder)
        arguments = ["convert", "--world", str(self.world), "--tokenizer", str(folder)]
        self._command("convert tokenizer", arguments, accepted=(1,))

    def _file(self, option: str, keys: str, name: str) -> None:
        path = self.sources / option / name
        shapes = official_shapes(KEYS / keys)
        pool = Pool(self.work / "pool")
        size = self._measured(f"write {option}", lambda: write_checkpoint(path, shapes, pool))
        self.steps[f"write {option}"]["bytes"] = size
        arguments = ["convert", "--world", str(self.world), f"--{option}", str(path)]
        last = option == FILES[-1][0]
        self._command(f"convert {option}", arguments, accepted=(0,) if last else (1,))
        shutil.rmtree(path.parent)

    def _vae(self) -> None:
        """A random VAE of SDXL's sizes: the painter asks for one, nothing is decoded."""
        code = (
            "import sys; from diffusers import AutoencoderKL; "
            "from seedstory_core.painter.loading import SDXL_VAE; "
            "AutoencoderKL(**SDXL_VAE).save_pretrained(sys.argv[1])"
        )
        folder = str(self.work / "sdxl" / "vae")
        subprocess.run([sys.executable, "-c", code, folder], check=True, env=self.environment)

    def _story(self) -> None:
        report = self.work / "story.json"
        script = Path(__file__).with_name("story.py")
        vae = self.work / "sdxl"
        self._child("story", [str(script), str(self.world), str(vae), str(report)])
        self.steps.update(json.loads(report.read_text()))
        self._save()

    def _command(self, name: str, arguments: Sequence[str], accepted: tuple = (0,)) -> None:
        self._child(name, ["-m", "seedstory_core", *arguments], accepted)

    def _child(self, name: str, arguments: Sequence[str], accepted: tuple = (0,)) -> None:
        print(f"{name} ...", flush=True)
        start = time.monotonic()
        log = self.work / "log.txt"
        with open(log, "ab") as out:
            out.write(f"== {name}\n".encode())
            out.flush()
            process = subprocess.Popen(
                [sys.executable, *arguments], env=self.environment, stdout=out, stderr=out
            )
            with Peak(process.pid) as peak:
                code = process.wait()
        self._keep(name, start, peak)
        if code not in accepted:
            raise SystemExit(f"{name} ended with {code}; see {log}")

    def _measured(self, name: str, act: Any) -> Any:
        print(f"{name} ...", flush=True)
        start = time.monotonic()
        with Peak() as peak:
            result = act()
        self._keep(name, start, peak)
        return result

    def _keep(self, name: str, start: float, peak: Peak) -> None:
        seconds = round(time.monotonic() - start, 1)
        free = shutil.disk_usage(self.work).free
        self.steps[name] = {"seconds": seconds, "peak": peak.bytes, "disk_free": free}
        self._save()
        anonymous = peak.bytes.get("anonymous", 0) / GIB
        print(f"    {seconds} s, {anonymous:.2f} GiB of its own at most", flush=True)

    def _save(self) -> None:
        (self.work / "rehearsal.json").write_text(json.dumps(self.report(), indent=1))
        (self.work / "rehearsal.txt").write_text(self.text())

    def report(self) -> dict[str, Any]:
        machine = {
            "cores": os.cpu_count(),
            "threads": int(self.environment["OMP_NUM_THREADS"]),
            "ram": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": platform.platform(),
            "python": platform.python_version(),
        }
        sizes = {
            str(path.relative_to(self.world)): path.stat().st_size
            for path in sorted(self.world.rglob("*.safetensors"))
        }
        return {"machine": machine, "steps": self.steps, "world": sizes}

    def text(self) -> str:
        lines = [f"{'step':<28}{'seconds':>9}{'own RAM GiB':>13}{'mapped GiB':>12}"]
        for name, step in self.steps.items():
            own, mapped = (step["peak"].get(kind, 0) / GIB for kind in ("anonymous", "files"))
            lines.append(f"{name:<28}{step['seconds']:>9}{own:>13.2f}{mapped:>12.2f}")
        return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="empty folder with 45 GB free")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true", help="leave the world there (24 GB)")
    args = parser.parse_args()
    rehearsal = Rehearsal(args.work, args.threads)
    rehearsal.run()
    print(rehearsal.text())
    if not args.keep:
        shutil.rmtree(rehearsal.models)


if __name__ == "__main__":
    main()
