"""What a machine lacks is a sentence, whatever library says it, and never hides another fault."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedstory_core import files, troubles
from seedstory_core.cli import main
from seedstory_core.errors import SeedStoryError

ROOT = Path(__file__).parents[2]


def of_windows(number: int, code: int) -> OSError:
    """As Python raises it on Windows, where ``winerror`` is set."""
    error = OSError(number, "not enough of it")
    error.winerror = code
    return error


MEMORY = [
    MemoryError(),
    MemoryError("Unable to allocate 8.00 GiB for an array"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:115] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried to allocate"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("can't start new thread"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    OSError("unable to mmap 9 bytes from file <a>: Cannot allocate memory (12)"),
    of_windows(errno.EINVAL, 1455),
]
DEVICE = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("CUDA out of memory. Tried to allocate"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
]


@pytest.mark.parametrize("error", MEMORY, ids=repr)
def test_too_little_memory_is_said(error: Exception) -> None:
    with pytest.raises(SeedStoryError, match="too little memory") as caught, troubles.in_words():
        raise error
    assert caught.value.__cause__ is error and "Close other programs" in str(caught.value)


@pytest.mark.parametrize("error", DEVICE, ids=repr)
def test_a_device_without_memory_is_said_or_left_to_a_host_that_frees_some(
    error: Exception,
) -> None:
    with pytest.raises(SeedStoryError, match="device has too little"), troubles.in_words():
        raise error
    with pytest.raises(type(error)) as caught, troubles.in_words(device=False):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ImportError("No module named 'av'"),
        OSError(errno.ENOENT, "No such file or directory", "a"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        SeedStoryError("as it was"),
        ValueError("out of memory"),  # only what machines raise is looked at
    ],
    ids=repr,
)
def test_other_faults_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, troubles.in_words():
        raise error
    assert caught.value is error


DISK = {
    errno.ENOSPC: "Disk full",
    errno.EDQUOT: "Disk full",
    errno.EROFS: "read-only",
    errno.EIO: "failed",
    errno.ESTALE: "failed",
    errno.EMFILE: "too many files",
    errno.ENFILE: "too many files",
    errno.ENAMETOOLONG: "255 bytes",
    errno.EACCES: "somebody else",
    errno.EPERM: "somebody else",
}


@pytest.mark.parametrize("number", DISK, ids=lambda number: errno.errorcode[number])
def test_what_a_disk_refuses_is_said_with_the_file(number: int, tmp_path: Path) -> None:
    error = OSError(number, os.strerror(number), str(tmp_path / "a"))
    with pytest.raises(SeedStoryError, match=DISK[number]) as caught, troubles.in_words():
        raise error
    assert str(tmp_path / "a") in str(caught.value)
    with pytest.raises(SeedStoryError, match=DISK[number]), files.disk_guard(tmp_path / "a"):
        raise error


@given(st.sampled_from(sorted(errno.errorcode)), st.none() | st.text(max_size=20))
def test_no_error_of_a_system_breaks_the_words(number: int, name: str | None) -> None:
    error = OSError(number, os.strerror(number), name)
    said = troubles.words(error)
    assert said is None or (said.endswith(".") and "None" not in said)


def test_a_folder_that_is_removed_meanwhile_is_gone(tmp_path: Path) -> None:
    with (
        pytest.raises(SeedStoryError, match="is gone"),
        files.atomic_path(tmp_path / "a" / "b") as part,
    ):
        part.unlink()
        part.parent.rmdir()
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="255 bytes"):
        files.atomic_write_bytes(tmp_path / ("a" * 300), b"1")


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA")
def test_a_command_with_too_little_memory_ends_in_a_sentence(tmp_path: Path) -> None:
    """The limit is set when torch is loaded: how much that takes differs from system to system."""
    code = (
        "import resource, sys, torch, seedstory_core.cli.tell\n"
        "from pathlib import Path\n"
        "lines = Path('/proc/self/status').read_text(encoding='utf-8').splitlines()\n"
        "used = next(int(line.split()[1]) << 10 for line in lines if line.startswith('VmData'))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + (24 << 20),) * 2)\n"
        "from seedstory_core.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = ["tell", "--out", str(tmp_path / "a"), "--panels", "1", "--steps", "1"]
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert ended.returncode == 2, ended.stderr
    assert "too little memory" in ended.stderr and "Traceback" not in ended.stderr
    assert "damaged" not in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA")
@pytest.mark.parametrize("megabytes", [200, 400, 600, 700])
def test_too_little_memory_to_load_anything_is_said_at_once(megabytes: int) -> None:
    """Loading torch with so little ends in errors of every kind, and in crashes."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({megabytes} << 20,) * 2)\n"
        "from seedstory_core.cli import main\n"
        "sys.exit(main(['doctor']))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert ended.returncode == 2 and "too little memory" in ended.stderr, ended.stderr


def test_without_a_home_folder_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "a file" / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["tell", "--world", "babble", "--out", str(tmp_path / "out"), "--panels", "1"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert variable in said and str(tmp_path / "a file") in said and not (tmp_path / "out").exists()


def test_a_home_folder_that_nobody_knows_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["tell", "--world", "babble", "--out", "out", "--panels", "1"]) == 2
    assert "XDG_CACHE_HOME" in capsys.readouterr().err
