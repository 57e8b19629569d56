"""Looks at a models folder: what is there, missing, damaged or unknown, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .engines.seed_story.conversion.inputs import missing_inputs
from .errors import SeedStoryError
from .files import PART, sha256_of
from .weights.catalog import CATALOG, NEEDED, UNKNOWN, OutsideFile, find, licence_names
from .weights.download import read_lock
from .weights.places import WORLDS, world_roots
from .weights.reader import open_checkpoint
from .world import World, WorldFile, find_worlds, inside, load_world

THERE, MISSING, DAMAGED, UNKNOWN_FILE, UNFINISHED = (
    "there",
    "missing",
    "DAMAGED",
    "unknown",
    "unfinished",
)
AS_WORLD = "the world's"
COMMAND = "python -m seedstory_core"
_MAKER = "convert"  # inputs of `convert`, by the option that takes them
_INPUTS = {"--tokenizer": "tokenizer", "--agent": "agent", "--visual": "visual",
           "--detokenizer": "detokenizer"}  # fmt: skip
_IGNORED = (".json", ".md", ".txt", PART)  # in official/: notes beside weights


@dataclass(frozen=True)
class Finding:
    """One file: its state, and the command or act that helps."""

    name: str
    state: str
    bytes: int
    licence: str
    advice: str = ""
    problem: str = ""


@dataclass(frozen=True)
class WorldReport:
    """One world: usable when all its files are there and whole."""

    name: str
    folder: Path
    world: World | None
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        bad = (MISSING, DAMAGED, UNFINISHED)
        return self.world is not None and not any(item.state in bad for item in self.findings)


def examine_worlds(models: Path, deep: bool = False) -> list[WorldReport]:
    """All worlds, and folders where a conversion has begun; ``deep`` hashes every file."""
    roots = world_roots(models)
    reports = [
        _world(folder, deep, models) for folder in dict(sorted(find_worlds(roots).items())).values()
    ]
    begun = [
        folder
        for root in roots[:1]
        if root.is_dir()
        for folder in sorted(root.iterdir())
        if not (folder / "world.json").exists() and any(folder.glob("*.safetensors"))
    ]
    return reports + [_unfinished(folder, models) for folder in begun if folder.name != "official"]


def examine_outside(models: Path, deep: bool = False) -> list[Finding]:
    """Every file of the catalogue, and files beside them that nobody knows."""
    try:
        lock = read_lock(models)
    except SeedStoryError as error:
        lock, problem = {}, str(error)
        findings = [Finding("downloads.json", DAMAGED, 0, "-", "Move it away.", problem)]
    else:
        findings = []
    findings += [_outside(models, entry, lock.get(entry.key, {}), deep) for entry in CATALOG]
    known = {models / entry.path for entry in CATALOG}
    official = models / WORLDS / "official"
    for path in sorted(official.rglob("*")) if official.is_dir() else []:
        if path.is_file() and path not in known and not path.name.lower().endswith(_IGNORED):
            name = path.relative_to(models).as_posix()
            advice = "Not of this pack; move or delete it if you do not need it."
            findings.append(Finding(name, UNKNOWN_FILE, path.stat().st_size, "unknown", advice))
    return findings


def next_command(models: Path, outside: list[Finding]) -> str:
    """What to type when no world is usable: the first missing download, else the conversion."""
    state = {item.name: item.state for item in outside}
    for group in NEEDED:
        if any(state.get(entry.key) != THERE for entry in find(group)):
            return f"{COMMAND} download {group} --models {shlex.quote(str(models))}"
    return _convert(models / WORLDS / "seed-story", models, list(_INPUTS))


def check_file(path: Path, recorded: WorldFile | None, deep: bool) -> str:
    """ "" for a whole file, else what is wrong with it. Reads headers only, unless ``deep``."""
    size = path.stat().st_size
    if recorded is not None and size != recorded.bytes:
        return f"{size} bytes instead of {recorded.bytes}"
    if path.suffix in (".safetensors", ".bin", ".pt", ".pth"):
        try:
            open_checkpoint(path).keys()
        except SeedStoryError as error:
            return str(error)
    if deep and recorded is not None and recorded.sha256 not in ("", UNKNOWN):
        digest = sha256_of(path)
        if digest != recorded.sha256:
            return f"its sha256 is {digest}, not {recorded.sha256}"
    return ""


def _world(folder: Path, deep: bool, models: Path) -> WorldReport:
    try:
        world = load_world(folder)
    except SeedStoryError as error:
        advice = "Copy the world anew, or convert again."
        finding = Finding("world.json", DAMAGED, 0, "-", advice, str(error))
        return WorldReport(folder.name, folder, None, (finding,))
    again = "Copy the world anew"
    if not world.painter or "trained" not in world.provenance:  # else it came from no conversion
        again += ", or convert again: " + _convert(folder, models, list(_INPUTS))
    findings = []
    for entry in world.files.values():
        path = inside(folder, entry.path)
        if not path.is_file():
            findings.append(Finding(entry.path, MISSING, 0, AS_WORLD, again))
            continue
        problem = check_file(path, entry, deep)
        state, advice = (DAMAGED, again) if problem else (THERE, "")
        findings.append(Finding(entry.path, state, path.stat().st_size, AS_WORLD, advice, problem))
    return WorldReport(world.name, folder, world, (*findings, *_strangers(world)))


def _strangers(world: World) -> list[Finding]:
    """Weights in a world's folder that neither its world.json nor a node's menu names."""
    known = {inside(world.root, entry.path) for entry in world.files.values()}
    return [
        Finding(path.name, UNKNOWN_FILE, path.stat().st_size, "unknown", "Not used by this world.")
        for path in sorted(world.root.glob("*.safetensors"))
        if path.resolve() not in known and not path.name.startswith("controlnet")
    ]


def _unfinished(folder: Path, models: Path) -> WorldReport:
    missing = missing_inputs(folder)
    advice = _convert(folder, models, missing or ["--tokenizer"])
    wants = f"still wants {', '.join(missing)}" if missing else "only wants its world.json"
    finding = Finding("world.json", UNFINISHED, 0, "-", advice, wants)
    return WorldReport(folder.name, folder, None, (finding,))


def _outside(models: Path, entry: OutsideFile, record: dict, deep: bool) -> Finding:
    path = models / entry.path
    licence = licence_names([entry])
    fetch = f"{COMMAND} download {shlex.quote(entry.key)} --models {shlex.quote(str(models))}"
    if not path.is_file():
        part = path.with_name(path.name + PART)
        begun = "its download has begun" if part.is_file() else ""
        size = part.stat().st_size if begun else 0
        return Finding(entry.key, MISSING, size, licence, fetch, begun)
    known = WorldFile(
        entry.path,
        entry.bytes or int(record.get("bytes", path.stat().st_size)),
        entry.sha256 if entry.sha256 != UNKNOWN else str(record.get("sha256", "")),
    )
    problem = check_file(path, known, deep)
    state, advice = (DAMAGED, f"Delete {path}, then: {fetch}") if problem else (THERE, "")
    return Finding(entry.key, state, path.stat().st_size, licence, advice, problem)


def _convert(folder: Path, models: Path, options: list[str]) -> str:
    """The conversion command with files at their downloaded places."""
    words = [COMMAND, _MAKER, "--world", shlex.quote(str(folder))]
    for option in options:
        first = models / find(_INPUTS[option])[0].path
        place = first.parent if option == "--tokenizer" else first
        words += [option, shlex.quote(str(place))]
    return " ".join(words)
