"""The numeric tests under other vector instructions, other numbers of threads, and beside load.

    python tests/support/processors.py                    # all settings, one after the other
    python tests/support/processors.py plain busy         # some of them
    python tests/support/processors.py --tests trainings
    python tests/support/processors.py --acts             # which variables act on this machine

Prints a table for docs/TESTING.md. Each setting takes as long as the tests themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Each library has a switch of its own. MKL_ENABLE_INSTRUCTIONS acts on Intel's processors alone,
#: MKL_CBWR on all.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "MKL_CBWR": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
PLAIN = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_CBWR": "COMPATIBLE",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F",
}
ONE, TWO = {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}
SETTINGS = {
    "native": ONE,
    "threads": TWO,
    "avx2": ONE | AVX2,
    "plain": ONE | PLAIN,
    "busy": TWO | PLAIN,  # beside a second process that keeps two threads busy
}
#: The default tier of what compares numbers, and of what learns.
TESTS = {
    "numbers": [
        "tests/core/engines",
        "tests/core/operations",
        "tests/core/painter",
        *(
            f"tests/core/test_{name}.py"
            for name in (
                "hosts",
                "images",
                "painter",
                "parity",
                "quantised",
                "sampling",
                "schedule",
            )
        ),
        *(f"tests/core/evaluation/test_{name}.py" for name in ("painting", "runs", "steering")),
        "tests/core/weights/test_convert.py",
    ],
    "trainings": ["tests/core/training", "tests/core/evaluation/test_probe_training.py"],
}
LOAD = "import torch\nx = torch.ones(600, 600)\nwhile True: x @ x"

#: Computations by whose last digits a variable shows itself.
PROBE = """
import hashlib, json, math
import numpy as np
import torch
from torch.nn import functional as F
def digest(x):
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()[:8]
x = (torch.arange(19200) * 7919 % 10007 / 10007 - 0.5).view(64, 300)
pictures, kernel = x[:, :256].reshape(4, 16, 16, 16), x[:16, :144].reshape(16, 16, 3, 3)
heads = x[:, :256].reshape(1, 4, 64, 64)
print(json.dumps({
    "matmul": digest((x @ x.T).numpy()),
    "matmul of a few rows": digest((x[:7] @ x.T).numpy()),
    "matmul bf16": digest((x.bfloat16() @ x.bfloat16().T * 1e-3).float().numpy()),
    "convolution": digest(F.conv2d(pictures, kernel, padding=1).numpy()),
    "attention": digest(F.scaled_dot_product_attention(heads, heads, heads).numpy()),
    "gelu": digest(F.gelu(x).numpy()),
    "exp": digest(x.exp().numpy()),
    "softmax": digest(x.softmax(-1).numpy()),
    "sum": digest(x.sum(-1).numpy()),
    "randn": digest(torch.randn(999, generator=torch.Generator().manual_seed(0)).numpy()),
    "svd": digest(torch.linalg.svdvals(x[:, :64]).numpy()),
    "numpy matmul": digest(x.numpy() @ x.numpy().T),
    "math.sin": digest(np.array([math.sin(value) for value in range(999)])),
}))
"""


def environment(setting: dict[str, str]) -> dict[str, str]:
    known = {name for names in SETTINGS.values() for name in names}
    return {name: value for name, value in os.environ.items() if name not in known} | setting


@contextmanager
def load(wanted: bool) -> Iterator[None]:
    """A process that computes for as long as the block lasts, if ``wanted``."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", LOAD], env=environment(TWO))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run(name: str, tests: list[str]) -> str:
    """A row of the table: what came of the tests, and which used most of their tolerance."""
    with tempfile.TemporaryDirectory() as folder, load(name == "busy"):
        notes = Path(folder) / "headroom.jsonl"
        env = environment(SETTINGS[name]) | {"SEEDSTORY_HEADROOM": str(notes)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        lines = [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]
    failed = [line["test"].split("/")[-1] for line in lines if line["outcome"] == "failed"]
    for test in failed:
        print(f"{name}: {test}", file=sys.stderr)
    shares = sorted((line["share"] or 0.0, line["test"].split("/")[-1]) for line in lines)
    most = "; ".join(f"{share:.2f} {test}" for share, test in shares[:-4:-1])
    return f"| {name} | {done.stdout.strip().splitlines()[-1].strip('= ')} | {most} |"


def digests(setting: dict[str, str]) -> dict[str, str]:
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, env=environment(setting), capture_output=True, check=True)
    return json.loads(done.stdout)


def acts() -> Iterator[str]:
    """Rows: a variable, and the computations whose last digits it changes."""
    native = digests(ONE)
    for name, value in [*TWO.items(), *AVX2.items(), *PLAIN.items()]:
        found = digests(ONE | {name: value})
        changed = [what for what in native if found[what] != native[what]]
        yield f"| `{name}={value}` | {', '.join(changed) or 'nothing'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=", ".join(SETTINGS))
    parser.add_argument("--tests", choices=[*TESTS, "all"], default="all")
    parser.add_argument("--acts", action="store_true", help="say which variables act, and end")
    args = parser.parse_args()
    if unknown := set(args.settings) - set(SETTINGS):
        parser.error(f"no setting {', '.join(sorted(unknown))}; there are {', '.join(SETTINGS)}")
    if args.acts:
        print("| set | changes |\n| --- | --- |")
        for row in acts():
            print(row, flush=True)
        return
    print("| setting | tests | most of a tolerance |\n| --- | --- | --- |")
    for group in TESTS if args.tests == "all" else [args.tests]:
        for name in args.settings or SETTINGS:
            print(run(name, TESTS[group]), flush=True)


if __name__ == "__main__":
    main()
