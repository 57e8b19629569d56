"""Several panels in one call of ComfyUI's samplers, and guidance that ends early."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

HOW = {"cfg": 2.0, "scheduler": "normal", "seed": 7, "repaint": False, "width": 0, "height": 0}


@pytest.fixture(scope="module")
def told(pack: ModuleType, comfy_here: Path) -> Any:
    """A babbling story of four told panels, with all that paints it."""
    nodes, types = pack.nodes, pack.seedstory_core.types
    with torch.inference_mode():
        llm, _, detokenizer = nodes.loaders.LoadWorld.execute("babble", "fp32").args
        picture = torch.zeros(8, 8, 3, dtype=torch.uint8)
        story = llm.engine.start(types.Opening("A fox.", picture, "together"))
        for seed in range(4):
            story = llm.engine.tell(story, seed=seed)
        model, vae = nodes.loaders.LoadWorldPainter.execute("babble").args
    return story, model, vae, detokenizer


@pytest.fixture(autouse=True)
def _stories(comfy_here: Path, tmp_path: Path) -> Iterator[None]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield
    folder_paths.set_output_directory(before)


@contextmanager
def calls(model: Any) -> Iterator[list[int]]:
    """Pictures, and negatives, in each call of the UNet."""
    seen: list[int] = []
    unet = model.model.diffusion_model
    hook = unet.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    try:
        yield seen
    finally:
        hook.remove()


def painted(pack: ModuleType, told: Any, **how: Any) -> list[torch.Tensor]:
    """Pictures of Paint Story, as levels."""
    settings = {"steps": 2, "sampler_name": "euler", "same_noise": False} | HOW | how
    with torch.inference_mode():
        images = pack.nodes.painting.PaintStory.execute(*told, **settings).args[1]
    return [(image * 255).round().int() for image in images]


@pytest.mark.parametrize("same_noise", [True, False])
@pytest.mark.parametrize("at_once", [0, 3])
def test_panels_painted_together_are_those_painted_alone(
    pack: ModuleType, told: Any, at_once: int, same_noise: bool
) -> None:
    alone = painted(pack, told, same_noise=same_noise)
    with calls(told[1]) as seen:
        together = painted(pack, told, same_noise=same_noise, at_once=at_once)
    assert max(int((a - b).abs().max()) for a, b in zip(alone, together, strict=True)) <= 1
    assert max(seen) == (8 if at_once == 0 else 6), "pictures and their negatives"
    assert len({tuple(image.flatten().tolist()) for image in alone}) == 4


def test_all_samplers_that_paint_together_do_not_mix_pictures(pack: ModuleType, told: Any) -> None:
    for sampler in sorted(pack.nodes.host.BY_ITSELF):
        how = {"sampler_name": sampler, "steps": 3, "cfg": 1.0}
        alone, together = painted(pack, told, **how), painted(pack, told, at_once=0, **how)
        apart = max(int((a - b).abs().max()) for a, b in zip(alone, together, strict=True))
        assert apart <= 1, (sampler, apart)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_sde", "lcm", "dpm_adaptive"])
def test_other_samplers_paint_one_by_one(pack: ModuleType, told: Any, sampler: str) -> None:
    how = {"sampler_name": sampler, "cfg": 1.0, "steps": 2}
    alone = painted(pack, told, **how)
    with calls(told[1]) as seen:
        asked = painted(pack, told, at_once=4, **how)
    assert max(seen) == 1 and all(torch.equal(a, b) for a, b in zip(alone, asked, strict=True))


def test_what_was_painted_says_how(pack: ModuleType, told: Any) -> None:
    settings = {"steps": 2, "sampler_name": "euler", "same_noise": False} | HOW
    with torch.inference_mode():
        story = pack.nodes.painting.PaintStory.execute(*told, at_once=4, **settings).args[0]
    seeds = [panel.provenance["paint"]["seed"] for panel in story.panels[1:]]
    assert seeds == [7 + index for index in range(1, 5)]


# ---- guidance


def test_guidance_ends_where_it_is_told(pack: ModuleType, told: Any) -> None:
    story, model, *rest = told
    half = pack.nodes.guidance.GuidanceUntil.execute(model, 0.5).args[0]
    with calls(model) as seen:
        pictures = painted(pack, (story, half, *rest), steps=4, scheduler="sgm_uniform")
    assert seen == [2, 2, 1, 1] * 4
    with calls(model) as seen:
        whole = painted(pack, told, steps=4, scheduler="sgm_uniform")
    assert seen == [2] * 16, "the model that was given is as it was"
    assert not torch.equal(pictures[0], whole[0])


def test_guidance_for_none_or_all_of_the_steps(pack: ModuleType, told: Any) -> None:
    story, model, *rest = told
    never, always = (
        pack.nodes.guidance.GuidanceUntil.execute(model, share).args[0] for share in (0.0, 1.0)
    )
    plain = painted(pack, told, cfg=1.0)
    assert all(
        torch.equal(a, b) for a, b in zip(painted(pack, (story, never, *rest)), plain, strict=True)
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(painted(pack, (story, always, *rest)), painted(pack, told), strict=True)
    )


def test_another_change_of_the_same_kind_stays(pack: ModuleType, told: Any) -> None:
    import comfy.samplers

    asked: list[int] = []

    def counting(args: dict[str, Any]) -> Any:
        asked.append(sum(cond is not None for cond in args["conds"]))
        how = (args["input"], args["sigma"], args["model_options"])
        return comfy.samplers.calc_cond_batch(args["model"], args["conds"], *how)

    story, model, *rest = told
    changed = model.clone()
    changed.set_model_sampler_calc_cond_batch_function(counting)
    half = pack.nodes.guidance.GuidanceUntil.execute(changed, 0.5).args[0]
    painted(pack, (story, half, *rest), steps=4, scheduler="sgm_uniform")
    assert asked == [2, 2, 1, 1] * 4
