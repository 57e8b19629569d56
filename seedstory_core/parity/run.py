"""The table of cases, and running them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import SeedStoryError
from . import files, llm, painting, telling, vision
from .check import Check
from .goldens import Goldens
from .models import Models

TELLING = ("agent_pytorch_model", "tokenizer")
PAINTING = ("detokenizer_io", "detokenizer_pytorch_model")
UNET = (*PAINTING, "detokenizer_unet_config")


@dataclass(frozen=True)
class Case:
    """A comparison with the reference.

    Attributes:
        needs: stems of the files without which it is skipped.
        tensors: patterns (``*`` for any text) that a tensor of ``needs[0]`` must match each.
    """

    name: str
    run: Callable[[Models, Check], None]
    needs: tuple[str, ...]
    tensors: tuple[str, ...] = ()


_VISION = ("visual_tokenizer_io", "visual_tokenizer")

CASES: tuple[Case, ...] = (
    Case("file formats", files.formats, ()),
    Case("preprocessing", vision.preprocessing, (_VISION[0], "preproc_input"), ("preproc_out",)),
    Case("vision", vision.vision, _VISION, ("pixels", "out")),
    Case("vision, zero image", vision.zero_image, _VISION, ("out_zero_image",)),
    Case("vision, other sizes", vision.other_sizes, _VISION, ("pixels_u8_*",)),
    Case("tokenizer", llm.tokenizer, ("tokenizer",)),
    Case("lora merge", llm.lora_merge, ("lora_merge_io", "agent_pytorch_model")),
    Case("input resampler", llm.input_resampler, ("input_resampler_io", "agent_pytorch_model")),
    Case("output resampler", llm.output_resampler, ("output_resampler_io", "agent_pytorch_model")),
    Case("prefill", llm.prefill, ("mllm_prefill_io", "agent_pytorch_model")),
    Case("picture token rule", llm.picture_rule, ("logits_processor_io", "tokenizer")),
    Case("generate", telling.generate, ("generate_io", "generate", *TELLING)),
    Case("story loop", telling.story_loop, ("story_loop_io", "story_loop", *TELLING)),
    Case(
        "given captions",
        telling.given_captions,
        ("story_vis_io", "story_vis", "story_loop_io", *TELLING),
    ),
    Case("training losses", llm.training_losses, ("train_forward_io", "agent_pytorch_model")),
    Case("conditioning", painting.prompt_embeds, (*PAINTING, "generate_io"), ("prompt_embeds",)),
    Case(
        "negative conditioning",
        painting.negative_embeds,
        (*PAINTING, "visual_tokenizer"),
        ("negative_prompt_embeds", "negative_pooled"),
    ),
    Case(
        "picture to conditioning",
        painting.picture_embeds,
        (*PAINTING, "visual_tokenizer", "preproc_input"),
        ("pil_prompt_embeds", "pil_pooled"),
    ),
    Case("noise schedule", painting.schedule, (PAINTING[0], "scheduler_config")),
    Case("noise prediction", painting.noise_prediction, UNET, ("unet_noise_pred",)),
    Case("denoising", painting.denoising, (*UNET, "scheduler_config"), ("euler*_init_noise",)),
    Case("painter's loss", painting.painter_loss, (*UNET, "scheduler_config"), ("stage3_loss",)),
)


@dataclass(frozen=True)
class Result:
    """What came of a case; ``skipped`` says why it could not run."""

    case: str
    check: Check
    skipped: str = ""

    @property
    def passed(self) -> bool:
        return not self.skipped and not self.check.failures


# What a wrong or damaged golden, or a wrong model, can raise inside a case: that case has failed,
# and the others still run.
_BROKEN = (SeedStoryError, LookupError, ValueError, TypeError, RuntimeError, AssertionError)


def run_parity(folder: Path) -> Iterator[Result]:
    """Run every case of ``folder``, one after the other.

    Raises:
        SeedStoryError: no goldens there, or not one case could run.
    """
    models = Models(Goldens(folder))
    ran = 0
    for case in CASES:
        result = run_case(case, models)
        ran += not result.skipped
        yield result
    if not ran:
        raise SeedStoryError(
            f"Not one of {len(CASES)} cases could run: {folder} lacks all their files."
        )


def run_case(case: Case, models: Models) -> Result:
    """Run one case; whatever is wrong with its files makes it fail."""
    check = Check()
    try:
        missing = _missing(case, models.goldens)
        if missing:
            return Result(case.name, check, f"no {', '.join(missing)}")
        with torch.inference_mode():
            case.run(models, check)
    except _BROKEN as error:
        check.failures.append(f"{type(error).__name__}: {error}")
    if not check.compared and not check.failures:
        return Result(case.name, check, "nothing recorded to compare with")
    return Result(case.name, check)


def _missing(case: Case, goldens: Goldens) -> list[str]:
    files = [stem for stem in case.needs if not goldens.find(stem)]
    if files or not case.tensors:
        return files
    names = goldens.checkpoint(case.needs[0]).keys()
    absent = [pattern for pattern in case.tensors if not fnmatch.filter(names, pattern)]
    return [f"{pattern} in {case.needs[0]}" for pattern in absent]
