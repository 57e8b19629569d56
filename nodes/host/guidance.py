"""Guidance that ends before the last step, in any of ComfyUI's samplers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def guided_until(model: Any, share: float) -> Any:
    """A clone of ``model`` that is guided for the first ``share`` of the noise schedule only.

    Behind it a step asks the model once instead of twice: what guides towards then stands for both
    sides, which gives itself at any guidance scale. A function that is in this place of ``model``
    already goes on to be asked.
    """
    last = float(model.get_model_object("model_sampling").percent_to_sigma(share))
    clone = model.clone()
    ask = clone.model_options.get("sampler_calc_cond_batch_function", _plain)

    def answers(args: Mapping[str, Any]) -> list[Any]:
        if float(args["sigma"].max()) > last:
            return ask(args)
        towards = ask({**args, "conds": [args["conds"][0], None]})[0]
        return [towards] * len(args["conds"])

    clone.set_model_sampler_calc_cond_batch_function(answers)
    return clone


def _plain(args: Mapping[str, Any]) -> list[Any]:
    """What the sampler does where no function is set (comfy/samplers.py: sampling_function)."""
    import comfy.samplers

    return comfy.samplers.calc_cond_batch(
        args["model"], args["conds"], args["input"], args["sigma"], args["model_options"]
    )
