"""A real ComfyUI server for tests: hermetic, on a free port, killed at the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .prompt_run import PromptRun

ROOT = Path(__file__).resolve().parents[2]
PACK = "comfyui-seedstory"  # the folder name users have; the repository's own may be any
TINY_SDXL = Path(__file__).resolve().parent / "custom_nodes" / "tiny_sdxl"
START_TIMEOUT = 400.0  # 10 to 20 s as a rule, a minute from a cold disk on two busy cores


class PromptRefused(Exception):
    """POST /prompt answered 400; ``body`` is what the front end would show."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(json.dumps(body)[:2000])
        self.body = body


class ComfyServer:
    """One server process with its own base directory; nothing in the ComfyUI tree is touched.

    Attributes:
        base: the base directory: ``models``, ``input``, ``output``, ``custom_nodes`` lie in it.
        url: ``http://127.0.0.1:<port>``.
    """

    def __init__(
        self, comfy: Path, python: Path, base: Path, packs: Mapping[str, Path] | None = None
    ) -> None:
        self.comfy, self.python, self.base = comfy, python, base
        self.packs = {PACK: ROOT, "tiny_sdxl": TINY_SDXL} if packs is None else dict(packs)
        self.log = base / "server.log"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    # ---- life

    def start(self, extra: Sequence[str] = ()) -> ComfyServer:
        """Start the process and wait until it answers.

        Raises:
            RuntimeError: it died or did not answer in time; the message ends with its log.
        """
        for folder in ("custom_nodes", "models", "input", "output", "user"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        for name, source in self.packs.items():
            link = self.base / "custom_nodes" / name
            if not link.exists():
                link.symlink_to(source, target_is_directory=True)
        picture = self.comfy / "input" / "example.png"
        if picture.is_file():
            shutil.copy(picture, self.base / "input")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._command(), *extra],
                cwd=self.comfy,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"},
                start_new_session=True,
            )
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """End the process and everything it started; safe to call twice."""
        if self.process is None or self.process.poll() is not None:
            return
        for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            os.killpg(self.process.pid, number)
            try:
                self.process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                continue

    def _command(self) -> list[str]:
        flags = ["--listen", "127.0.0.1", "--port", str(self.port), "--cpu"]
        flags += ["--base-directory", str(self.base), "--disable-auto-launch"]
        flags += ["--disable-api-nodes", "--disable-all-custom-nodes"]
        flags += ["--whitelist-custom-nodes", *self.packs, "--preview-method", "latent2rgb"]
        flags += ["--database-url", f"sqlite:///{self.base / 'comfyui.db'}"]
        return [str(self.python), "main.py", *flags]

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended at start:\n{self.log_tail()}")
            try:
                self.get("/system_stats")
                return
            except OSError:
                time.sleep(0.25)
        self.stop()
        raise RuntimeError(f"ComfyUI did not answer in {START_TIMEOUT:g} s:\n{self.log_tail()}")

    def log_tail(self, size: int = 6000) -> str:
        """The end of what the server printed."""
        return self.log.read_text(errors="replace")[-size:]

    # ---- HTTP

    def get(self, path: str) -> Any:
        """GET as JSON."""
        return self._call(urllib.request.Request(self.url + path))

    def get_bytes(self, path: str) -> bytes:
        """GET as it comes."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def post(self, path: str, body: Any) -> Any:
        """POST JSON; the answer as JSON, or None where it has no body."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        return self._call(request)

    @staticmethod
    def _call(request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def object_info(self, node: str = "") -> dict[str, Any]:
        """/object_info of all nodes, or ``{node: info}`` of one."""
        return self.get(f"/object_info/{node}" if node else "/object_info")

    def upload(self, picture: Path, name: str) -> str:
        """Put ``picture`` into the input folder through the API; the name it got."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        body = head.encode() + b"Content-Type: image/png\r\n\r\n" + picture.read_bytes()
        request = urllib.request.Request(
            self.url + "/upload/image",
            data=body + f"\r\n--{mark}--\r\n".encode(),
            headers={"Content-Type": f"multipart/form-data; boundary={mark}"},
        )
        return self._call(request)["name"]

    # ---- prompts

    def begin(self, prompt: Mapping[str, Any], workflow: Mapping | None = None) -> PromptRun:
        """Queue an API prompt and return while it runs.

        Raises:
            PromptRefused: the server found it invalid.
        """
        run = PromptRun(self, uuid.uuid4().hex)
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
        body = {"prompt": prompt, "client_id": run.client_id, "extra_data": extra}
        try:
            run.prompt_id = self.post("/prompt", body)["prompt_id"]
        except urllib.error.HTTPError as error:
            run.close()
            raise PromptRefused(json.loads(error.read())) from error
        return run

    def run(self, prompt: Mapping[str, Any], timeout: float = 180.0) -> PromptRun:
        """Queue an API prompt and wait for its end, whatever that is (see `PromptRun.status`)."""
        return self.begin(prompt).finish(timeout)

    def interrupt(self) -> None:
        """Ask the running prompt to stop."""
        self.post("/interrupt", {})

    def free(self) -> None:
        """Unload all models and forget all cached outputs before the next prompt."""
        self.post("/free", {"unload_models": True, "free_memory": True})


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
