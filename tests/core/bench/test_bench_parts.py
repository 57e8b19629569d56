"""The benchmark's parts: words, weights, baseline, sums."""

from __future__ import annotations

import math
from importlib.util import find_spec

import pytest
import torch

from seedstory_core.bench.agreement import agreement, feature_cosine, quantised_agrees
from seedstory_core.bench.baseline import LoraLinear
from seedstory_core.bench.loading import time_loading
from seedstory_core.bench.machine import copy_bandwidth, facts
from seedstory_core.bench.memory import Peak
from seedstory_core.bench.meter import Cost
from seedstory_core.bench.modes import DEFAULT, MODES, chosen
from seedstory_core.bench.run import tell_in_turn
from seedstory_core.bench.sizes import EIGHTH, FULL, SCALES, scale_of
from seedstory_core.bench.stage import make_stage
from seedstory_core.bench.summary import decode_share, growth, p90, ratio, stages, summarize, times
from seedstory_core.bench.tracks import EngineTrack, Theatre
from seedstory_core.bench.weights import RANK, SCALING, TARGETS, on_meta, random_weights
from seedstory_core.bench.words import NumberWords, WithoutEnd
from seedstory_core.engines.seed_story.prompt import TURN, Vocabulary, clean
from seedstory_core.errors import SeedStoryError

CPU = torch.device("cpu")
TINY = SCALES["tiny"].config


def cost(prefill: float, decode: float = 0.0, forced: float = 0.0, rows: int = 0) -> Cost:
    return Cost(seconds={"prefill": prefill, "decode": decode, "forced": forced}, kv_rows=rows)


def test_random_ids_come_back_from_text_as_they_were() -> None:
    words = NumberWords(200, 64)
    ids = torch.randint(3, words.first_mark, (500,)).tolist()
    assert words.encode(TURN + clean(words.decode(ids))) == ids
    assert len(words) == 200 and words.first_mark == 200 - 66
    assert Vocabulary(words, 64, 200).slots == tuple(range(136, 200))


def test_captions_have_as_many_words_as_asked_for() -> None:
    words = NumberWords(200, 64)
    caption = words.caption(50, torch.Generator().manual_seed(0))
    assert len(words.encode(caption)) == len(caption.split()) == 50


def test_the_picker_never_ends_a_caption() -> None:
    picker = WithoutEnd(begin=3, eos=2)
    assert picker.pick(torch.tensor([0.0, 1.0, 9.0, 8.0]), torch.Generator()) == 1


def test_the_full_size_is_the_released_models_on_the_meta_device() -> None:
    mllm = on_meta(FULL)
    llama = sum(p.numel() for p in (*mllm.model.parameters(), *mllm.lm_head.parameters()))
    assert llama == 6_738_956_288
    adapters = sum(
        RANK * sum(value.shape)
        for name, value in mllm.model.named_parameters()
        if name.removesuffix(".weight").endswith(TARGETS)
    )
    assert adapters == 39_976_960
    assert sum(p.numel() for p in mllm.input_resampler.parameters()) == 67_665_920
    assert EIGHTH.llm.layers == 4 and EIGHTH.vision.layers == 6


def test_unmerged_and_merged_weights_compute_the_same() -> None:
    weights = random_weights(TINY, CPU, torch.float32, 0)
    assert len(weights.adapted) == 7 * TINY.llm.layers
    x = torch.randn(1, 3, TINY.llm.width)
    for name, adapted in weights.adapted.items():
        if "down_proj" in name:
            continue  # takes another width
        merged = weights.mllm.get_parameter(name)
        torch.testing.assert_close(LoraLinear(adapted)(x), x @ merged.T)
        assert (SCALING * adapted.up @ adapted.down).std() > 0.05 * adapted.base.std()


def test_weights_follow_the_seed() -> None:
    same = [random_weights(TINY, CPU, torch.float32, seed).mllm for seed in (1, 1, 2)]
    heads = [mllm.lm_head.weight for mllm in same]
    assert heads[0].equal(heads[1]) and not heads[0].equal(heads[2])


def test_features_are_of_order_one() -> None:
    """Or the tolerance of 1e-4 would say nothing."""
    weights = random_weights(TINY, CPU, torch.float32, 0)
    theatre = Theatre(make_stage(TINY, weights, 1, 5, 0))
    track = tell_in_turn(theatre, [MODES["exact"]], 1, CPU)["exact"]
    (features,) = track.story.panels[1].features.values()
    assert 0.1 < features.std() < 10


def test_agreement_is_whole_in_fp32() -> None:
    weights = random_weights(TINY, CPU, torch.float32, 0)
    theatre = Theatre(make_stage(TINY, weights, 2, 5, 0))
    track = tell_in_turn(theatre, [MODES["ref_merged"]], 2, CPU)["ref_merged"]
    for merged in (True, False):
        finding = agreement(theatre, track, merged)
        assert finding.held and finding.seen.startswith("10 of 10 words"), finding


def test_coarse_8_bit_weights_are_found() -> None:
    assert [finding.held for finding in quantised_agrees("int8", 0.9985)] == [False]
    assert [finding.held for finding in quantised_agrees("int8", 0.9995)] == [True]
    assert quantised_agrees("int4", 0.5) == []


@pytest.mark.parametrize(("form", "least"), [("int8", 0.99), ("int4", 0.9)])
def test_quantised_weights_tell_and_mean_nearly_the_same(form: str, least: float) -> None:
    pytest.importorskip("comfy_kitchen", reason="not installed: comfy-kitchen (quantised weights)")
    weights = random_weights(TINY, CPU, torch.float32, 0)
    theatre = Theatre(make_stage(TINY, weights, 1, 5, 0))
    track = tell_in_turn(theatre, [MODES[form]], 1, CPU)[form]
    assert track.costs[0].forwards == 7
    assert track.read_bytes()[0] < EngineTrack(MODES["sink"], theatre.stage).read_bytes()[0]
    assert least < feature_cosine(theatre.stage, track.stage) < 1


def test_both_ways_of_loading_are_timed_as_stored_and_as_computed() -> None:
    loaded = time_loading(TINY, CPU, torch.float32, 0)
    assert loaded["bytes"]["reference"] > 1.5 * loaded["bytes"]["world"]
    assert list(loaded["dtypes"]) == ["float16", "float32"]
    for timed in loaded["dtypes"].values():
        assert set(timed["seconds"]) == {"reference", "world"}
        assert all(0 < seconds < math.inf for seconds in timed["cpu_seconds"].values())


def test_panels_are_sorted_by_what_happens_in_them() -> None:
    found = stages(24)
    assert (found["filling"], found["steady"]) == (range(2, 9), range(9, 25))
    assert stages(14)["steady"] == range(11, 15)
    assert not stages(9)["steady"] and not stages(1)["filling"]
    assert stages(5)["filling"] == range(2, 6)


def test_ratios_count_dear_panels() -> None:
    mine = [cost(1), cost(1), cost(1), cost(5)]
    theirs = [cost(4), cost(4), cost(4), cost(4)]
    assert ratio(mine, theirs, range(1, 5)) == 2


def test_times_are_in_milliseconds_by_phase() -> None:
    found = times([cost(1, 2, 3), cost(3, 2, 1)])
    assert found["median"] == found["mean"] == found["p90"] == 6000
    assert (found["prefill"], found["decode"], found["forced"]) == (2000, 2000, 2000)
    assert p90([1.0]) == 1.0 and p90(list(map(float, range(11)))) == 9


def test_growth_compares_late_panels_with_early_ones() -> None:
    costs = [cost(1.0)] * 100 + [cost(2.0)] * 100
    assert growth(costs) == 2
    assert growth(costs[:150]) is None


def test_the_share_of_bandwidth_counts_weights_and_kept_rows() -> None:
    told = [cost(9, decode=2.0, rows=10)]
    assert decode_share(told, 100, 5, bandwidth=150, words=4) == pytest.approx(2.0)
    assert decode_share([cost(1)], 100, 5, 150, 4) is None


def test_a_summary_names_the_kv_of_sampled_panels() -> None:
    costs = [cost(1, rows=panel) for panel in range(1, 61)]
    found = summarize(MODES["sink"], costs, costs)
    assert [found["kv"][panel]["rows"] for panel in ("1", "8", "25", "50")] == [1, 8, 25, 50]
    assert found["ratio"]["steady"] == 1 and found["growth"] is None


def test_baselines_come_with_the_modes_that_need_them() -> None:
    modes, lacking = chosen(["given", "int8"], CPU)
    assert [mode.name for mode in modes] == ["ref_given", "given"]
    on_gpu, _ = chosen(["graph", "int8"], torch.device("cuda"))
    quantised = ["int8"] if find_spec("comfy_kitchen") else []
    assert [mode.name for mode in on_gpu] == ["ref_merged", "graph", *quantised]
    assert list(lacking) == ["int8"] and "needs CUDA" in lacking["int8"]
    everything, _ = chosen(DEFAULT, CPU)
    assert {"ref", "fused", "exact", "block", "sink"} <= {mode.name for mode in everything}
    assert list(chosen(DEFAULT, CPU)[1]) == ["graph", "int8", "int4"]
    with pytest.raises(SeedStoryError, match="no scale 'huge'"):
        scale_of("huge")


def test_machine_facts_and_bandwidth() -> None:
    assert facts(CPU)["torch"] == torch.__version__
    assert copy_bandwidth(CPU, 1 << 16) > 0


def test_peak_memory_is_seen_where_the_system_tells() -> None:
    peak = Peak(CPU)
    peak.begin()
    block = torch.ones(64 << 20, dtype=torch.uint8)  # too large to be taken from freed memory
    seen = peak.end()
    assert seen is None or seen >= 48 << 20
    assert block[-1] == 1
