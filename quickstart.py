#!/usr/bin/env python3
"""From a bare clone to a told story, or to a test report. Needs nothing but Python >= 3.10.

    python quickstart.py               make the environment, start ComfyUI on Picture World
    python quickstart.py --headless    the same without a browser: writes a storybook of ten panels
    python quickstart.py test [...]    what the tests need, then pytest (further words go to it)
    python quickstart.py test --deps oldest|newest    the same with other versions of all packages

Packages come from locks/, exact versions with hashes, into .venv; all else goes to .quickstart.
Nothing outside this folder is changed. An existing ComfyUI is only read ($COMFYUI_PATH, the one
this clone lies in, comfy-cli's, ~/ComfyUI).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WORK = ROOT / ".quickstart"
PACK = "comfyui-seedstory"
WORLD = "picture-world"
EXAMPLE = "03-whole-story"  # ten panels after the opening

COMFY_TAG = "v0.33.0"
COMFY_SOURCE = "https://github.com/comfyanonymous/ComfyUI"
LOCKS = ROOT / "locks"
LOCKED_PYTHONS = ((3, 10), (3, 14))  # torch of the lock has no files for others
OLDEST_PYTHON, NEWEST_PYTHONS = "3.10", ("3.14", "3.13", "3.12")
TORCH = ("torch", "torchvision", "torchaudio")
UV = "uv==0.13.9"
NO_PYTHON = 77  # exit code, as other test runners say "skipped"
START_TIMEOUT = 600.0  # seconds; a first start reads every module from a cold disk
STORY_TIMEOUT = 1200.0


class Stop(Exception):
    """A reason to give up that the user can read."""


class NoPython(Stop):
    """This machine lacks the Python that a set of packages is for."""


def say(text: str) -> None:
    print(f"[quickstart] {text}", flush=True)


def find_comfy() -> Path | None:
    """The ComfyUI to use: named, enclosing, comfy-cli's, in the home folder, or cloned before."""
    named = os.environ.get("COMFYUI_PATH")
    if named:
        if not (Path(named) / "main.py").is_file():
            raise Stop(f"COMFYUI_PATH is {named!r}, but there is no main.py in it.")
        return Path(named).resolve()
    places = [Path.home() / "comfy" / "ComfyUI", Path.home() / "ComfyUI", WORK / "ComfyUI"]
    if ROOT.parent.name == "custom_nodes":
        places.insert(0, ROOT.parents[1])
    return next((place for place in places if (place / "main.py").is_file()), None)


def clone_comfy() -> Path | None:
    """The pinned ComfyUI in .quickstart, or None (said aloud) where it cannot be had."""
    target = WORK / "ComfyUI"
    say(f"no ComfyUI found; cloning {COMFY_TAG} from {COMFY_SOURCE}")
    command = ["git", "clone", "--depth", "1", "--branch", COMFY_TAG, COMFY_SOURCE, str(target)]
    try:
        subprocess.run(
            command, check=True, timeout=600, env=os.environ | {"GIT_TERMINAL_PROMPT": "0"}
        )
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(target, ignore_errors=True)
        say(f"ComfyUI cannot be had here (set COMFYUI_PATH where there is one): {error}")
        return None
    return target


def environment(comfy: Path | None, here: bool, lock: str) -> Path:
    """The interpreter to run with: .venv as the lock says, or (``here``) the running one.

    A ComfyUI of another version than the lock's may ask for other packages; those come on top.
    """
    if here:
        return Path(sys.executable)
    python = interpreter_in(VENV)
    asked = comfy / "requirements.txt" if comfy else None
    texts = [file.read_text(encoding="utf-8") for file in (LOCKS / lock, asked) if file]
    digest = hashlib.sha256("\n".join([sys.version, lock, *texts]).encode()).hexdigest()
    stamps = VENV / "seedstory-stamps"
    stamped = stamps.read_text(encoding="utf-8") if stamps.is_file() else ""
    if python.is_file() and digest in stamped.split():
        return python
    if not LOCKED_PYTHONS[0] <= sys.version_info[:2] <= LOCKED_PYTHONS[1]:
        raise Stop(
            f"This is Python {sys.version.split()[0]}; the lock is for 3.10 to 3.14. Start "
            "quickstart.py with one of those, or use your own environment with --here."
        )
    say(
        f"installing into {VENV}: PyTorch and the locked requirements, several GB, minutes at first"
    )
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(python), "-m", "pip", "install", "--progress-bar", "off"]
    subprocess.run([*pip, "--require-hashes", "-r", str(LOCKS / lock)], check=True)
    if asked:
        kept = ["-c", str(LOCKS / "torch.in")]
        subprocess.run([*pip, "-r", str(asked), *kept], check=True)
    with stamps.open("a", encoding="utf-8", newline="\n") as stamp:
        stamp.write(digest + "\n")
    return python


def interpreter_in(folder: Path) -> Path:
    """Where a virtual environment has its Python."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def other_environment(deps: str, comfy: Path | None) -> Path:
    """An environment with the ``oldest`` packages that pyproject.toml allows, or the ``newest``."""
    folder = ROOT / f".venv-deps-{deps}"
    python, versions = interpreter_in(folder), NEWEST_PYTHONS
    if deps == "oldest":
        wanted, versions = ["--require-hashes", "-r", str(LOCKS / "oldest.txt")], (OLDEST_PYTHON,)
    else:
        wanted = ["--upgrade", *TORCH, *test_requirements(), "-r", str(ROOT / "requirements.txt")]
        wanted += ["-r", str(comfy / "requirements.txt")] if comfy else []
    uv = find_uv()
    if not python.is_file():
        base = find_python(versions)
        subprocess.run([uv, "venv", "--seed", "--python", base, str(folder)], check=True)
    say(f"installing the {deps} packages into {folder}, several GB at first")
    subprocess.run([uv, "pip", "install", "--python", str(python), *wanted], check=True)
    listed = subprocess.run(
        [uv, "pip", "freeze", "--python", str(python)],
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    ).stdout
    WORK.mkdir(exist_ok=True)
    (WORK / f"{deps}.txt").write_text(listed, encoding="utf-8", newline="\n")
    say(f"what is installed now: {WORK / deps}.txt")
    return python


def find_uv() -> str:
    """uv, or a copy of its own in .quickstart."""
    folder = WORK / "uv"
    found = shutil.which("uv", path=str(interpreter_in(VENV).parent)) or shutil.which("uv")
    if found is None and not interpreter_in(folder).is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(interpreter_in(folder)), "-m", "pip", "install", "--quiet", UV]
        subprocess.run(pip, check=True)
    return found or str(interpreter_in(folder).with_name("uv.exe" if os.name == "nt" else "uv"))


def find_python(versions: tuple[str, ...]) -> str:
    """The first of these Pythons that this machine has: on the PATH, or pyenv's."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for version in versions:
        kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        on_path = shutil.which(f"python{version}")
        for place in [*filter(None, [on_path]), *map(str, reversed(kept)), sys.executable]:
            tried = subprocess.run(
                [place, "-c", code], capture_output=True, text=True, encoding="utf-8"
            )
            if tried.returncode == 0 and tried.stdout.strip() == version:
                return place
    raise NoPython(
        f"This needs Python {' or '.join(versions)}; neither the PATH nor pyenv has one."
    )


def test_requirements() -> tuple[str, ...]:
    """The ``test`` extra of pyproject.toml (read as text: Python 3.10 has no TOML reader)."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("test = ["))
    return tuple(json.loads(line.split("=", 1)[1]))


def prepare_base(comfy: Path) -> Path:
    """A ComfyUI base directory of our own: linked pack, example picture, the user's models too."""
    base = WORK / "base"
    for folder in ("custom_nodes", "models", "input", "output", "user"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    link_pack(base / "custom_nodes" / PACK)
    kinds = sorted(folder.name for folder in (comfy / "models").iterdir() if folder.is_dir())
    rows = [f"  {kind}: {json.dumps(kind)}" for kind in kinds]
    text = "\n".join(["comfyui:", f"  base_path: {json.dumps(str(comfy / 'models'))}", *rows, ""])
    (base / "extra_model_paths.yaml").write_text(text, encoding="utf-8", newline="\n")
    example = comfy / "input" / "example.png"
    if example.is_file():
        shutil.copy(example, base / "input")
    return base


def link_pack(link: Path) -> None:
    """Make ``link`` show this clone: a symbolic link, on Windows a junction (needs no rights)."""
    if link.exists():
        return
    if os.name == "nt":
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(ROOT)], check=True)
    else:
        link.symlink_to(ROOT, target_is_directory=True)


def free_port(wanted: int) -> int:
    """``wanted`` if nobody listens there, else any free port."""
    for port in (wanted, 0):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]
    raise Stop("There is no free port on 127.0.0.1.")


@contextlib.contextmanager
def server(comfy: Path, python: Path, base: Path, port: int) -> Iterator[str]:
    """ComfyUI's address while it runs; its log is .quickstart/comfyui.log."""
    flags = ["--port", str(port), "--base-directory", str(base), "--disable-auto-launch"]
    flags += ["--extra-model-paths-config", str(base / "extra_model_paths.yaml")]
    flags += ["--database-url", f"sqlite:///{base / 'comfyui.db'}"]
    code = "import torch; raise SystemExit(not torch.accelerator.is_available())"
    flags += ["--cpu"] * (subprocess.run([str(python), "-c", code]).returncode != 0)
    log = WORK / "comfyui.log"
    say(f"starting ComfyUI from {comfy} (log: {log})")
    with log.open("wb") as stream:
        command = [str(python), "main.py", *flags]
        process = subprocess.Popen(command, cwd=comfy, stdout=stream, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for_server(url, process, log)
            yield url
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def wait_for_server(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when ComfyUI answers and knows our nodes."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if any(name.startswith("SeedStory_") for name in call(url, "/object_info")):
                return
            raise Stop(f"ComfyUI runs, but the pack did not load; see {log}.")
        time.sleep(0.5)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    raise Stop(f"ComfyUI did not start; the end of {log}:\n{tail}")


def call(url: str, path: str, body: Any = None) -> Any:
    """GET, or POST with ``body``; JSON in and out."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def run_example(url: str, base: Path, out: Path) -> None:
    """Queue the example and wait; copy its pages and story folder to ``out``."""
    prompt = json.loads((ROOT / "workflows" / "api" / f"{EXAMPLE}.json").read_text("utf-8"))
    try:
        key = call(url, "/prompt", {"prompt": prompt})["prompt_id"]
    except urllib.error.HTTPError as error:
        raise Stop(f"ComfyUI refused the example: {error.read().decode()[:2000]}") from error
    say("telling and painting ten panels; this takes a minute or less on a processor")
    deadline = time.monotonic() + STORY_TIMEOUT
    while not (history := call(url, f"/history/{key}")):
        if time.monotonic() > deadline:
            raise Stop(f"The example was not finished in {STORY_TIMEOUT:g} s.")
        time.sleep(0.5)
    status = history[key]["status"]
    if status["status_str"] != "success":
        raise Stop(f"The example failed: {json.dumps(status['messages'][-1])[:2000]}")
    out.mkdir(parents=True, exist_ok=True)
    for result in history[key]["outputs"].values():
        for picture in result.get("images", ()):
            shutil.copy(base / "output" / picture["subfolder"] / picture["filename"], out)
    stories = (base / "output" / "seedstory").iterdir()
    newest = max(stories, key=lambda folder: folder.stat().st_mtime)
    shutil.copytree(newest, out / newest.name, dirs_exist_ok=True)
    say(f"the storybook is in {out}")


def tell_with_library(python: Path, out: Path) -> None:
    """The same story without ComfyUI."""
    world = str(ROOT / "worlds" / WORLD)
    command = [str(python), "-m", "seedstory_core", "tell", "--world", world, "--panels", "10"]
    subprocess.run([*command, "--out", str(out)], cwd=ROOT, check=True)
    say(f"the storybook is in {out}")


def demo(args: argparse.Namespace) -> None:
    """Command one."""
    WORK.mkdir(exist_ok=True)
    out = Path(args.out).resolve()
    comfy = find_comfy() or clone_comfy()
    python = environment(comfy, args.here, "run.txt")
    if comfy is None:
        tell_with_library(python, out)
        return
    base = prepare_base(comfy)
    with server(comfy, python, base, free_port(args.port)) as url:
        if args.headless:
            run_example(url, base, out)
            return
        say(f"open {url}/?template={EXAMPLE}&source={PACK} and press Run (Ctrl-C here ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


def test(args: argparse.Namespace, words: list[str]) -> int:
    """Command two; the exit code is pytest's, and so is the last line printed."""
    comfy = find_comfy()
    settings = {"COMFYUI_PATH": str(comfy)} if comfy else {}
    if args.deps == "locked":
        say(f"ComfyUI: {comfy or 'none found, its tests will be skipped'}")
        python = environment(comfy, args.here, "test.txt")
    else:
        python = other_environment(args.deps, comfy)
        words = [*words, "--ignore=tests/test_checks.py"]  # checks of the source need no third run
    if args.deps == "oldest":
        say("ComfyUI: 0.3.64 where there is one; newer ones ask for newer packages")
        settings = {"COMFYUI_PATH": "none", "SEEDSTORY_REQUIRE_COMFYUI": ""}
    command = [str(python), "-m", "pytest", "-m", "not slow", *side_by_side(python), *words]
    return subprocess.run(command, cwd=ROOT, env=os.environ | settings).returncode


def side_by_side(python: Path) -> list[str]:
    """Words that let pytest run whole files beside each other, where it has pytest-xdist.

    Four at most: each may start a ComfyUI of its own.
    """
    probe = subprocess.run([str(python), "-c", "import xdist"], capture_output=True)
    workers = min(4, os.cpu_count() or 1)
    return ["-n", str(workers), "--dist", "loadfile"] if not probe.returncode else []


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("command", nargs="?", choices=["test"], help="run the tests instead")
    parser.add_argument("--headless", action="store_true", help="run the example and end")
    parser.add_argument("--out", default="quickstart-out", help="folder for the storybook")
    parser.add_argument("--port", type=int, default=8188, help="8188, or any free one if taken")
    parser.add_argument("--here", action="store_true", help="use the running environment as it is")
    parser.add_argument(
        "--deps", choices=["locked", "oldest", "newest"], default="locked", help="packages to test"
    )
    args, words = parser.parse_known_args()
    for stream in (sys.stdout, sys.stderr):  # a console of another code page ends nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ctrl-C: ends ComfyUI, too
    try:
        if args.command == "test":
            return test(args, words)
        if words:
            parser.error(f"unknown arguments: {' '.join(words)}")
        demo(args)
    except (Stop, subprocess.CalledProcessError) as error:
        say(str(error))
        return NO_PYTHON if isinstance(error, NoPython) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
