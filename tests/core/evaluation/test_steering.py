"""Steering is measured: what must come out of pictures that are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seedstory_core.cli import main
from seedstory_core.errors import SeedStoryError
from seedstory_core.evaluation.evaluate import Judge
from seedstory_core.evaluation.intervals import mean_of
from seedstory_core.evaluation.painting import PanelPainter
from seedstory_core.evaluation.probes import ProbeReader
from seedstory_core.evaluation.steered import (
    apart,
    averaged,
    colours,
    columns_right,
    paint_conditioning,
    pairs_of,
    probability_of,
    rises,
    with_unet,
)
from seedstory_core.evaluation.steering import Steering, draw_sample, measure
from seedstory_core.evaluation.steering_tables import steering_markdown
from seedstory_core.painter.steering import ControlledUnet, new_control, open_control
from seedstory_core.picture_world.scene import PLACES
from seedstory_core.training.checkpoint import own_memory
from seedstory_core.training.style_lora import styled
from seedstory_core.types import PaintSettings


@pytest.fixture()
def quick(judge: Judge) -> Judge:
    """Paints in one step."""
    judge.painter = replace(judge.painter, settings=PaintSettings(steps=1, guidance=1.0))
    return judge


def test_the_sample_is_the_same_for_the_same_seed(quick: Judge) -> None:
    one, two = (draw_sample(quick, Steering(stories=2)) for _ in range(2))
    assert (one.pictures == two.pictures).all() and one.pictures.shape == (16, 64, 64, 3)
    assert one.features.tensor.equal(two.features.tensor)
    assert one.stories == [0] * 8 + [1] * 8 and len(set(one.seeds)) == 16
    part = one[[3, 9]]
    assert (part.pictures == one.pictures[[3, 9]]).all() and part.stories == [0, 1]
    assert part.features.tensor.equal(one.features.tensor[[3, 9]])
    other = draw_sample(quick, Steering(stories=2, seed=1))
    assert (other.pictures != one.pictures).any()


def test_true_renders_lie_where_they_should(quick: Judge, shipped: ProbeReader) -> None:
    sample = draw_sample(quick, Steering(stories=4))
    said = shipped.probabilities(sample.pictures)
    assert np.mean(columns_right(said, sample.panels)) > 0.95
    assert np.mean(columns_right(said, [*sample.panels[1:], sample.panels[0]])) < 0.6
    sure = probability_of(said, sample.panels)
    assert sure["place"].mean() > 0.95 and sure["actors"].mean() > 0.95
    seen = shipped.read(sample.pictures)
    assert [PLACES[int(row)] for row in said["place"].argmax(-1)] == [sight.place for sight in seen]


def test_colours_tell_styles_apart(quick: Judge) -> None:
    sample = draw_sample(quick, Steering(stories=2))
    plain = colours(sample.pictures)
    night = colours(np.stack([p.picture(styled(p.scene, "night")) for p in sample.panels]))
    assert np.allclose(plain.sum(1), 1) and (apart(plain, plain) == 0).all()
    changed = [panel.scene.time != "night" for panel in sample.panels]
    assert (apart(plain, night)[changed] > 0.3).all()


def test_pairs_share_nothing(quick: Judge) -> None:
    sample = draw_sample(quick, Steering(stories=3))
    pairs = pairs_of(sample.panels)
    used = [row for pair in pairs for row in pair]
    assert pairs and len(used) == len(set(used))
    for first, second in pairs:
        one, two = sample.panels[first].scene, sample.panels[second].scene
        assert one.place != two.place
        assert not {a.name for a in one.actors} & {a.name for a in two.actors}


def test_rising() -> None:
    def values(first: list[float], second: list[float]) -> dict[str, np.ndarray]:
        return {"place_first": np.array(first), "place_second": np.array(second)}

    seen = [values([1, 1], [0, 0]), values([0.9, 0.2], [0.1, 0.8]), values([0, 0.9], [1, 0.2])]
    assert rises(seen, "place") == [True, False]


def test_means_have_intervals() -> None:
    mean = mean_of([0.0, 0.5, 1.0, 0.5], [0, 0, 1, 1])
    assert mean.value == 0.5 and mean.low < 0.5 < mean.high and mean.clusters == 2
    with pytest.raises(SeedStoryError, match="as many clusters"):
        mean_of([], [])


def test_conditioning_is_painted_as_features_are(quick: Judge) -> None:
    painter: PanelPainter = replace(quick.painter, at_once=2)
    sample = draw_sample(quick, Steering(stories=1))[range(5)]
    conditioning = quick.engine.condition_features(sample.features)
    ours = paint_conditioning(painter, conditioning, sample.seeds)
    theirs = painter.paint(sample.features, sample.seeds)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
    last = sample[[4, 3, 2, 1, 0]].features
    end = quick.engine.condition_features(last)
    for share, expected in ((0.0, conditioning), (1.0, end)):
        got = averaged(conditioning, end, share).positive[0]
        torch.testing.assert_close(got.tokens, expected.positive[0].tokens)
    middle = averaged(conditioning, end, 0.5).positive[0].tokens
    assert (middle - conditioning.positive[0].tokens).abs().max() > 0


def files(judge: Judge, folder: Path) -> tuple[Path, Path]:
    """A LoRA and a ControlNet that mean nothing, with effect."""
    unet = judge.painter.painter.unet
    generator = torch.Generator().manual_seed(0)
    names = [n for n, _ in unet.named_modules() if n.endswith("attn2.to_v")]
    lora = {}
    for name in names:
        width, source = unet.get_submodule(name).weight.shape
        flat = f"lora_unet_{name.replace('.', '_')}"
        lora[f"{flat}.lora_down.weight"] = torch.randn((2, source), generator=generator)
        lora[f"{flat}.lora_up.weight"] = torch.randn((width, 2), generator=generator)
    control = new_control(unet)
    for value in control.parameters():
        torch.nn.init.normal_(value, std=0.1, generator=generator)
    paths = folder / "lora.safetensors", folder / "control.safetensors"
    for path, state in zip(paths, (lora, control.state_dict()), strict=True):
        save_file(own_memory(state), path)
    return paths


def test_a_controlnet_acts_as_strongly_as_told(quick: Judge, tmp_path: Path) -> None:
    sample = draw_sample(quick, Steering(stories=1))[range(2)]
    unet, painter = quick.painter.painter.unet, quick.painter
    control = open_control(unet, files(quick, tmp_path)[1])
    width, height = (8 * side // painter.painter.factor for side in painter.painter.size)
    given = torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(1))
    plain, off, half, full = (
        with_unet(painter, one).paint(sample.features, sample.seeds).astype(int)
        for one in (unet, *(ControlledUnet(unet, control, given, s) for s in (0.0, 0.5, 1.0)))
    )
    assert np.abs(plain - off).max() <= 1
    assert 0 < np.abs(plain - half).mean() < np.abs(plain - full).mean()


def test_everything_is_measured_and_told(quick: Judge, tmp_path: Path) -> None:
    lora, control = files(quick, tmp_path)
    result = measure(quick, Steering(3, lora, control))
    assert json.loads(json.dumps(result)) == result
    strengths = result["lora"]["strengths"], result["controlnet"]["strengths"]
    for found in strengths:
        assert list(found) == ["0", "0.5", "1"]
    assert result["controlnet"]["panels"] == 24 and result["lora"]["panels"] <= 24
    assert all(0 <= found["edges"]["value"] <= 1 for found in strengths[1].values())
    away = [found["colours_from_plain"]["value"] for found in strengths[0].values()]
    assert away[0] != away[2]
    for way in ("features", "conditioning"):
        assert list(result["blend"][way]["shares"]) == ["0", "0.25", "0.5", "0.75", "1"]
        assert result["blend"][way]["rising"].keys() == {"place", "actors"}
    ends = [result["blend"][way]["shares"] for way in ("features", "conditioning")]
    for share in ("0", "1"):
        for row, found in ends[0][share].items():
            assert abs(found["value"] - ends[1][share][row]["value"]) < 0.02, (share, row)
    text = steering_markdown(result)
    assert "## LoRA of style night" in text and "edges follow the hint" in text
    assert "first panel's place" in text


def test_by_the_command(
    quick: Judge, raw_probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "steering.json"
    command = ["evaluate", "--steering", "--world", str(quick.world.root), "--stories", "2"]
    command += ["--probes", str(raw_probes), "--json", str(out)]
    assert main(command) == 0
    assert json.loads(out.read_text())["panels"] == 16
    assert "Blend of two panels" in capsys.readouterr().out


def test_wrong_wishes_are_named(quick: Judge, tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="Styles are night"):
        Steering(style="sepia")
    with pytest.raises(SeedStoryError, match="1 to 10000 stories"):
        Steering(stories=0)
    with pytest.raises(SeedStoryError, match="cannot be read"):
        measure(quick, Steering(1, lora=tmp_path / "none.safetensors"))
