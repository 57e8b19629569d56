"""Fetches named public files, only when asked: resumable, checked, recorded.

A file grows as ``<name>.part`` beside its final place, with ``<name>.part.json`` saying what it is
part of; it takes its final name when size and sha256 are right. Where the hash is unknown, the one
that came first is written to a lock file and holds from then on.
"""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import held
from ..errors import SeedStoryError
from ..files import atomic_write_json, disk_guard, human, require_space, sha256_of, sync_folder
from ..types import Progress, no_progress
from .catalog import BASE_URL, LOCK, UNKNOWN, OutsideFile
from .http_range import Answer, request_headers, wanted

log = logging.getLogger(__name__)

CHUNK = 1 << 20
MAX_WAIT = 60.0  # seconds between two tries at most
BREAKS = (OSError, http.client.HTTPException)  # what a broken connection raises


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # noqa: ANN001, ANN201
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise SeedStoryError(f"{req.full_url} redirects to {newurl}, which is not https.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class Downloader:
    """Fetches catalogue entries into a models folder.

    Attributes:
        models: ComfyUI's models folder.
        base: where files come from; a mirror with the same layout may be named.
        attempts: tries in a row that brought no byte before giving up.
        timeout: seconds without a byte that count as a broken connection.
        wait: sleeps between tries.
    """

    models: Path
    base: str = BASE_URL
    attempts: int = 5
    timeout: float = 60.0
    progress: Progress = no_progress
    wait: Callable[[float], None] = time.sleep
    _open: Any = field(default_factory=lambda: urllib.request.build_opener(_SameScheme()).open)

    def fetch(self, entry: OutsideFile) -> Path:
        """The checked file at its place; what is there already and right is left alone.

        Raises:
            SeedStoryError: refused by the server, wrong size or hash, no room, too many breaks.
        """
        target = self.models / entry.path
        if target.exists():
            self._check(entry, target, keep=True)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        self._fill(entry, part)
        self._check(entry, part, keep=False)
        with disk_guard(target):
            held.replace(part, target)
            held.discard(_note(part))
        sync_folder(target.parent)
        return target

    def _fill(self, entry: OutsideFile, part: Path) -> None:
        """Get ``part`` to its full size, over as many connections as it takes."""
        fruitless, best = 0, part.stat().st_size if part.exists() else 0
        while True:
            try:
                if self._once(entry, part):
                    return
                problem: Exception | str = "the connection ended early"
            except urllib.error.HTTPError as error:
                if error.code not in (408, 425, 429) and error.code < 500:
                    raise SeedStoryError(_refused(entry, self.base, error)) from error
                problem = error
            except BREAKS as error:
                problem = error
            after = part.stat().st_size if part.exists() else 0
            fruitless = 0 if after > best else fruitless + 1
            best = max(best, after)  # so that beginning anew for ever does not count as getting on
            log.warning("%s: %s; %s so far", entry.key, problem, human(after))
            if fruitless >= self.attempts:
                raise SeedStoryError(
                    f"{entry.url(self.base)} brought nothing in {fruitless} tries ({problem}). "
                    f"{human(after)} are kept in {part}; run the same command to go on."
                )
            self.wait(min(MAX_WAIT, _retry_after(problem) or 2.0**fruitless))

    def _once(self, entry: OutsideFile, part: Path) -> bool:
        """One connection; True when ``part`` is complete."""
        url = entry.url(self.base)
        have = part.stat().st_size if part.exists() else 0
        note = _read_note(part) if have else {}
        headers = request_headers(have, note, url, trusted=entry.sha256 != UNKNOWN)
        try:
            response = self._open(
                urllib.request.Request(url, headers=headers), timeout=self.timeout
            )
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:
                if have == (entry.bytes or note.get("total")):
                    return True
                held.unlink(part)
                return False
            raise
        with response:
            answer = wanted(response.status, response.headers, have if "Range" in headers else 0)
            if answer is None:  # not the piece we asked for: start again without a range
                held.unlink(part)
                return False
            return self._receive(entry, part, response, answer, url)

    def _receive(
        self, entry: OutsideFile, part: Path, response: Any, answer: Answer, url: str
    ) -> bool:
        total = answer.total
        if entry.bytes is not None and total not in (None, entry.bytes):
            raise SeedStoryError(
                f"{url} has {total} bytes, but {entry.key} must have {entry.bytes}. The server "
                "does not have that file; choose another --base-url, or fetch it by hand."
            )
        total = entry.bytes if total is None else total
        if total is None:
            raise SeedStoryError(
                f"{url} does not say how large {entry.key} is, so that a broken transfer could not "
                "be noticed. Choose another --base-url, or fetch it by hand."
            )
        require_space(part.parent, total - answer.start, f"Downloading {entry.key}")
        atomic_write_json(_note(part), {"url": url, "total": total, **answer.validators})
        with disk_guard(part, total), open(part, "ab" if answer.start else "wb") as file:
            have = answer.start
            while chunk := response.read(CHUNK):
                have += len(chunk)
                if have > total:
                    raise SeedStoryError(f"{url} sends more than the {total} bytes it announced.")
                file.write(chunk)
                self.progress(have, total, entry.key)
        return have == total

    def _check(self, entry: OutsideFile, path: Path, keep: bool) -> None:
        """Compare with the table, else with the lock, else record in the lock."""
        lock = read_lock(self.models)
        record = lock.get(entry.key, {})
        size, digest = path.stat().st_size, sha256_of(path)
        known = entry.sha256 if entry.sha256 != UNKNOWN else record.get("sha256")
        if known not in (None, digest) or entry.bytes not in (None, size):
            if not keep:
                held.unlink(path)
                held.discard(_note(path))
            what_now = (
                "Move it away and run this again" if keep else "It was thrown away; try again"
            )
            source = "the table" if entry.sha256 != UNKNOWN else "the first download's record"
            raise SeedStoryError(
                f"{path} is not {entry.key}: {source} says sha256 {known}"
                f"{'' if entry.bytes is None else f', {entry.bytes} bytes'}, but it has {digest}, "
                f"{size} bytes. {what_now}."
            )
        new = {
            "sha256": digest,
            "bytes": size,
            "repo": entry.repo,
            "filename": entry.filename,
            "revision": entry.revision,
            "known_before": known is not None,
        }
        if not record:
            lock[entry.key] = new
            atomic_write_json(self.models / LOCK, lock)


def read_lock(models: Path) -> dict[str, Any]:
    """``{key: {sha256, bytes, ...}}`` of first downloads into ``models``."""
    path = models / LOCK
    if not path.is_file():
        return {}
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SeedStoryError(f"{path} is damaged ({error}). Repair it, or move it away.") from error
    if not isinstance(lock, dict) or not all(isinstance(item, dict) for item in lock.values()):
        raise SeedStoryError(f"{path} is not a record of downloads. Move it away.")
    return lock


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path) -> Mapping[str, Any]:
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}  # a lost or damaged note only costs the resumption
    return note if isinstance(note, dict) else {}


def _retry_after(problem: object) -> float | None:
    headers = getattr(problem, "headers", None)
    text = "" if headers is None else str(headers.get("Retry-After", ""))
    return float(text) if text.isdigit() else None


def _refused(entry: OutsideFile, base: str, error: urllib.error.HTTPError) -> str:
    hint = (
        "Check the name and the address."
        if entry.sure
        else "The file's place in its repository is inferred, not known: look at "
        f"{base.rstrip('/')}/{entry.repo} and name the place with --filename, or fetch it by hand "
        f"into {entry.path}."
    )
    return f"{entry.url(base)} was refused: {error.code} {error.reason}. {hint}"
