"""The one table of outside files: where each comes from, what is known of it, under which terms.

Nothing here is guessed. A size or hash is given only where public records agree on it; else it is
`UNKNOWN` and `download` records what came in a lock file. ``sure`` says whether the file's name in
its repository is known, or only inferred from the paths the reference scripts read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import SeedStoryError
from ..files import human

UNKNOWN = "unknown, recorded at first download"
BASE_URL = "https://huggingface.co"
URL_PATTERN = "{base}/{repo}/resolve/{revision}/{filename}"


@dataclass(frozen=True)
class Licence:
    """Terms of an outside file, in plain words; the licence text itself decides."""

    name: str
    link: str
    terms: str


@dataclass(frozen=True)
class OutsideFile:
    """One file of somebody else's.

    Attributes:
        key: what ``download`` and ``doctor`` call it.
        group: files that are fetched together: the name of a conversion input.
        filename: path inside the repository.
        revision: commit, or a branch name where no commit is known.
        bytes: size, or None where unknown.
        sha256: 64 hex digits, or `UNKNOWN`.
        folder: where it goes in ComfyUI's models folder; the file keeps its bare name.
        purpose: what it is for.
        sure: the file's name and place are known, not inferred.
        name: its name on disk where that is not the repository's.
    """

    key: str
    group: str
    repo: str
    filename: str
    revision: str
    bytes: int | None
    sha256: str
    licences: tuple[str, ...]
    folder: str
    purpose: str
    sure: bool = True
    name: str = ""

    @property
    def path(self) -> str:
        """Place relative to the models folder."""
        return f"{self.folder}/{self.name or self.filename.rsplit('/', 1)[-1]}"

    def url(self, base: str = BASE_URL) -> str:
        """Where it is fetched from; ``base`` may name a mirror with the same layout."""
        return URL_PATTERN.format(
            base=base.rstrip("/"), repo=self.repo, revision=self.revision, filename=self.filename
        )


LICENCES: dict[str, Licence] = {
    "seed-story": Licence(
        "Apache-2.0 (SEED-Story)",
        "https://github.com/TencentARC/SEED-Story/blob/master/license_Seed-Story.txt",
        "Free use, change and redistribution with notice; except for the third-party parts it "
        "lists, among them Llama 2.",
    ),
    "llama-2": Licence(
        "Llama 2 Community License",
        "https://ai.meta.com/llama/license/",
        "Use and redistribution allowed with the agreement and its notice attached; an acceptable "
        "use policy applies; not for improving other language models; above 700 million monthly "
        "users a licence of Meta's own is needed.",
    ),
    "tongyi-qianwen": Licence(
        "Tongyi Qianwen License Agreement (2023-08-23)",
        "https://github.com/QwenLM/Qwen-VL/blob/master/LICENSE",
        "Use and redistribution allowed with the agreement and its notice attached; not for "
        "improving other language models; commercial use above 100 million monthly users needs a "
        "licence from Alibaba Cloud.",
    ),
    "openrail++": Licence(
        "CreativeML Open RAIL++-M",
        "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
        "Use, also commercial, and redistribution allowed; the use restrictions of its Attachment "
        "A (no harm, no deception, no unlawful use) bind everybody down the line.",
    ),
    "mit": Licence("MIT", "https://opensource.org/license/mit", "Free use with notice."),
}

#: Where first downloads are recorded, relative to the models folder.
LOCK = "seedstory/official/downloads.json"

_SEED_STORY = "TencentARC/SEED-Story"
_QWEN = "Qwen/Qwen-VL-Chat"
_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
_SDXL_REVISION = "462165984030d82259a11f4367a4eed129e94a7b"
_VAE = "madebyollin/sdxl-vae-fp16-fix"
_TOKENIZER = "cvlm_llama2_tokenizer"


def _official(key: str, group: str, filename: str, folder: str, purpose: str) -> OutsideFile:
    licences = ("seed-story", "openrail++") if group == "detokenizer" else ("seed-story", "llama-2")
    return OutsideFile(
        key,
        group,
        _SEED_STORY,
        filename,
        "main",
        None,
        UNKNOWN,
        licences,
        f"seedstory/official/{folder}",
        purpose,
        sure=group == "tokenizer",
    )


def _qwen(name: str, purpose: str) -> OutsideFile:
    return OutsideFile(
        f"visual/{name}",
        "visual",
        _QWEN,
        name,
        "main",
        None,
        UNKNOWN,
        ("tongyi-qianwen",),
        "seedstory/official/qwen-vl-chat",
        purpose,
    )


def _sdxl(
    key: str, filename: str, size: int, sha256: str, folder: str, purpose: str
) -> OutsideFile:
    group, where = key.split("/")[0], (_SDXL, filename, _SDXL_REVISION)
    return OutsideFile(key, group, *where, size, sha256, ("openrail++",), folder, purpose)


CATALOG: tuple[OutsideFile, ...] = (
    *(
        _official(
            f"tokenizer/{name}",
            "tokenizer",
            f"{_TOKENIZER}/{name}",
            _TOKENIZER,
            f"Llama 2 tokenizer with 66 picture tokens: {purpose}",
        )
        for name, purpose in (
            ("tokenizer.model", "sentencepiece model"),
            ("added_tokens.json", "ids of the added tokens"),
            ("tokenizer_config.json", "settings"),
            ("special_tokens_map.json", "names of the special tokens"),
        )
    ),
    _official(
        "agent",
        "agent",
        "seed_story/george_sft/pytorch_model.bin",
        "agent",
        "the story model: Llama 2 7B with LoRA and both resamplers (George, instruction-tuned)",
    ),
    _official(
        "detokenizer",
        "detokenizer",
        "detokenizer/detokenizer_george_adapted/checkpoint-4000/pytorch_model.bin",
        "detokenizer",
        "features to SDXL conditioning, and the tuned SDXL UNet",
    ),
    _qwen("pytorch_model.bin.index.json", "which shard holds which tensor"),
    *(
        _qwen(f"pytorch_model-{n:05d}-of-00010.bin", "shard with parts of the visual tokenizer")
        for n in (8, 9, 10)
    ),
    _sdxl(
        "sdxl-base",
        "sd_xl_base_1.0.safetensors",
        6_938_078_334,
        "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
        "checkpoints",
        "SDXL base in one file, as ComfyUI loads it; the base the converter compares with",
    ),
    _sdxl(
        "sdxl-unet",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        5_135_149_760,
        "83e012a805b84c7ca28e5646747c90a243c65c8ba4f070e2d7ddc9d74661e139",
        "seedstory/official/sdxl/unet",
        "the UNet alone; the base for convert and for telling without ComfyUI",
    ),
    _sdxl(
        "sdxl-unet/config",
        "unet/config.json",
        1_680,
        "30ebc70750223e59006f7f2b4e1e6c102570aa19a9c4ae3e1fbe7591332dbae6",
        "seedstory/official/sdxl/unet",
        "its configuration",
    ),
    _sdxl(
        "sdxl-vae",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        167_335_342,
        "bcb60880a46b63dea58e9bc591abe15f8350bde47b405f9c38f4be70c6161e68",
        "seedstory/official/sdxl/vae",
        "the VAE alone, for telling without ComfyUI",
    ),
    _sdxl(
        "sdxl-vae/config",
        "vae/config.json",
        642,
        "0b331c8ac22ded5f9997a144a575c1d113d6169aff262c353f39015bd24a6264",
        "seedstory/official/sdxl/vae",
        "its configuration",
    ),
    OutsideFile(
        "vae-fp16-fix",
        "vae-fp16-fix",
        _VAE,
        "sdxl_vae.safetensors",
        "207b116dae70ace3637169f1ddd2434b91b3a8cd",
        334_641_162,
        "235745af8d86bf4a4c1b5b4f529868b37019a10f7c0b2e79ad0abca3a22bc6e1",
        ("mit",),
        "vae",
        "SDXL VAE that decodes in half precision without overflow, as ComfyUI loads it",
    ),
)

GROUPS: dict[str, str] = {
    "tokenizer": "needed: the tokenizer",
    "agent": "needed: the story model",
    "visual": "needed: the visual tokenizer, from Qwen-VL-Chat",
    "detokenizer": "needed: the de-tokenizer",
    "sdxl-base": "for painting in ComfyUI; also a base for convert",
    "sdxl-unet": "instead of sdxl-base: for painting without ComfyUI",
    "sdxl-vae": "for painting without ComfyUI",
    "vae-fp16-fix": "optional: a VAE for half precision",
}
NEEDED = ("tokenizer", "agent", "visual", "detokenizer")


def find(name: str) -> tuple[OutsideFile, ...]:
    """The files of a group, or the one file with this key.

    Raises:
        SeedStoryError: no such name.
    """
    found = tuple(entry for entry in CATALOG if name in (entry.group, entry.key))
    if not found:
        raise SeedStoryError(
            f"No outside file is called {name!r}. There are: {', '.join(GROUPS)}; "
            "see python -m seedstory_core download --list"
        )
    return found


def licence_names(entries: Iterable[OutsideFile]) -> str:
    """The licences of ``entries``, each once, in order of first appearance."""
    keys = dict.fromkeys(key for entry in entries for key in entry.licences)
    return "; ".join(LICENCES[key].name for key in keys)


def markdown_table() -> str:
    """The catalogue as docs/WEIGHTS.md shows it: the files, then the terms."""
    lines = [
        "| name | file | revision | bytes | sha256 | licence | goes to | what for |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in CATALOG:
        size = UNKNOWN if entry.bytes is None else f"{entry.bytes} ({human(entry.bytes)})"
        name = entry.filename if entry.sure else f"{entry.filename} (place inferred)"
        revision = entry.revision if len(entry.revision) < 40 else entry.revision[:12]
        lines.append(
            f"| `{entry.key}` | [{entry.repo}]({BASE_URL}/{entry.repo}): {name} | {revision} "
            f"| {size} | {entry.sha256} | {licence_names([entry])} | `{entry.path}` "
            f"| {entry.purpose} |"
        )
    lines += ["", "| licence | terms in plain words (the text decides) |", "| --- | --- |"]
    for licence in LICENCES.values():
        lines.append(f"| [{licence.name}]({licence.link}) | {licence.terms} |")
    return "\n".join(lines) + "\n"
