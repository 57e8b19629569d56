"""A graph for comfy-test, whose validator misreads notes, V3 combos and seeds before other widgets.

It is a useful one all the same: the reference's noise and noise levels in the stock sampler.
"""

from __future__ import annotations

from . import parts
from .examples import CAPTIONS
from .parts import CFG, DETOKENIZER, LLM
from .ui_graph import Graph, Link, Node

REFERENCE_NOISE = Graph(
    "reference-noise",
    "The reference's noise in the stock sampler",
    "",
    (
        *(node for node in parts.load() if node.key != "picture"),
        Node("picture", "LoadImage", 0, {"image": "example.png"}),  # of ComfyUI
        parts.start("reference-noise"),
        Node(
            "tell",
            "SeedStory_IllustrateCaption",
            1,
            {"story": Link("start"), "llm": LLM, "caption": CAPTIONS[0]},
        ),
        parts.conditioning(Link("tell", 1), 2),
        parts.apply_detokenizer(Link("painter"), 2),
        Node("sigmas", "SeedStory_ReferenceSigmas", 2, {"steps": 10, "detokenizer": DETOKENIZER}),
        Node(
            "noise",
            "SeedStory_ReferenceNoise",
            2,
            {"sigmas": Link("sigmas"), "model": Link("model"), "detokenizer": DETOKENIZER},
        ),
        parts.latent(3),
        Node("sampler", "KSamplerSelect", 3, {"sampler_name": "euler"}),
        Node(
            "guider",
            "CFGGuider",
            3,
            {
                "model": Link("model"),
                "positive": Link("conditioning", 0),
                "negative": Link("conditioning", 1),
                "cfg": CFG,
            },
        ),
        Node(
            "sample",
            "SamplerCustomAdvanced",
            4,
            {
                "noise": Link("noise"),
                "guider": Link("guider"),
                "sampler": Link("sampler"),
                "sigmas": Link("sigmas"),
                "latent_image": Link("latent"),
            },
        ),
        Node("decode", "VAEDecode", 4, {"samples": Link("sample"), "vae": Link("painter", 1)}),
        parts.attach(5),
        parts.show(Link("attach"), 5),
    ),
)
