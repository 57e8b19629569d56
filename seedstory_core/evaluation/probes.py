"""Reads pictures with the shipped probes, or with those of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from einops import rearrange
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import SeedStoryError
from ..parts import load_strict
from ..picture_world.scene import ACTIONS, MOODS, PLACES, PROPS, TIMES, WEATHERS
from .painting import Pixels
from .probe_net import NOTES, SIDE, Probes
from .sight import KNOWN, Figure, Sight

SHIPPED = Path(__file__).with_name("probes.safetensors")
MAX_FILE = 16 << 20  # bytes
AT_ONCE = 250
WRONG = (KeyError, TypeError, AttributeError)  # notes that are not ours


class ProbeReader:
    """Probes ready to read pictures.

    Attributes:
        accuracy: on unseen renders, by question, as measured when they were made.
    """

    def __init__(self, probes: Probes, accuracy: Mapping[str, float] | None = None) -> None:
        self._probes, self.accuracy = probes, dict(accuracy or {})

    @torch.inference_mode()
    def read(self, pictures: Pixels) -> list[Sight]:
        """uint8 [N, 64, 64, 3] -> what is seen in each."""
        sights = []
        for start in range(0, len(pictures), AT_ONCE):
            scores = self._scores(pictures[start : start + AT_ONCE])
            said = {name: values.argmax(-1) for name, values in scores.items()}
            count = len(said["place"])
            sights += [_sight({n: v[row] for n, v in said.items()}) for row in range(count)]
        return sights

    @torch.inference_mode()
    def probabilities(self, pictures: Pixels) -> dict[str, Tensor]:
        """uint8 [N, 64, 64, 3] -> how sure each answer is, shaped as `Probes` says them."""
        parts = [
            self._scores(pictures[start : start + AT_ONCE])
            for start in range(0, len(pictures), AT_ONCE)
        ]
        return {name: torch.cat([part[name] for part in parts]).softmax(-1) for name in parts[0]}

    def _scores(self, pictures: Pixels) -> dict[str, Tensor]:
        pixels = rearrange(torch.from_numpy(pictures).float() / 255, "n h w c -> n c h w")
        return self._probes(pixels.contiguous())


def _sight(said: Mapping[str, Tensor]) -> Sight:
    """The answers [] and [K] for one picture in words."""
    figures = {
        name: Figure(
            ACTIONS[int(said["action"][who])],
            MOODS[int(said["mood"][who])],
            *(bool(said[question][who]) for question in ("holds", "accessory", "colours")),
        )
        for who, name in enumerate(KNOWN)
        if said["present"][who]
    }
    prop = int(said["prop"])
    return Sight(
        PLACES[int(said["place"])],
        TIMES[int(said["time"])],
        WEATHERS[int(said["weather"])],
        PROPS[prop] if prop < len(PROPS) else None,
        figures,
        bool(said["stranger"]),
        int(said["count"]),
    )


def open_probes(file: Path = SHIPPED) -> ProbeReader:
    """The probes of a file.

    Raises:
        SeedStoryError: there is none, it is damaged, or made for other drawings.
    """
    from .probe_training import render_digest

    remake = f"Make them anew (about ten minutes): seedstory evaluate --make-probes {file.name}"
    if not file.is_file() or file.stat().st_size > MAX_FILE:
        raise SeedStoryError(f"There are no probes at {file}. {remake}")
    try:
        with safe_open(file, framework="pt") as opened:
            notes = json.loads((opened.metadata() or {})[NOTES])
            state = {key: opened.get_tensor(key).float() for key in opened.keys()}
        accuracy = {str(name): float(share) for name, share in notes["accuracy"].items()}
        drawing = notes["render"]
    except (SafetensorError, OSError, ValueError, *WRONG) as error:
        raise SeedStoryError(f"The probes {file} are damaged ({error}). {remake}") from error
    if drawing != render_digest():
        raise SeedStoryError(
            f"The probes {file} were trained on drawings of another version of Picture World, so "
            f"they cannot judge this one. {remake}"
        )
    probes = Probes()
    load_strict(probes, state, str(file))
    return ProbeReader(probes.eval().requires_grad_(False), accuracy)


def check_side(pictures: Pixels) -> None:
    """Refuse pictures that are not [N, 64, 64, 3]."""
    if pictures.ndim != 4 or pictures.shape[1:] != (SIDE, SIDE, 3):
        raise SeedStoryError(f"Expected pictures [N, {SIDE}, {SIDE}, 3], got {pictures.shape}.")
