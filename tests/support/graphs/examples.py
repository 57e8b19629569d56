"""The example workflows. Once released, nodes are only ever appended: ids stay."""

from __future__ import annotations

from . import parts
from .editing import ANY_AUTHOR, EDIT_AND_REROLL, PRINT_A_BOOK, STORY_VIEW
from .notes import note
from .parts import LLM, LOAD, VISION
from .ui_graph import Graph, Group, Link, Node

BODY_COLOR = "#5a4a63"
CAPTIONS = (
    "Mila spots a kite in the meadow.",
    "She takes the kite and smiles.",
    "Mila waves, for Bruno is coming.",
    "Mila gives the kite to Bruno, who smiles.",
)
LAST_CAPTION = "Now it is night in the meadow. They listen to the wind."
LORA = "picture-world-winter.safetensors"
FEW_STEPS_LORA = "picture-world-few-steps.safetensors"
CONTROLNET = "picture-world-edges.safetensors"
#: What 10 and 11 paint with instead of the world's own settings.
FASTER = {"steps": 6, "sampler_name": "dpmpp_2m", "at_once": 0}
FEW = {"steps": 4, "cfg": 1.0, "sampler_name": "lcm", "scheduler": "sgm_uniform"}
OWN_SIDE = 64  # pixels: the world's pictures before they are enlarged

ONE_PANEL = Graph(
    "01-one-panel",
    "One panel",
    note("01-one-panel"),
    (
        *parts.load(),
        parts.start("one-panel"),
        parts.tell(Link("start"), 1),
        parts.apply_detokenizer(Link("painter"), 2),
        parts.conditioning(Link("tell", 2), 2),
        parts.latent(2),
        *parts.sample(3, vae=Link("painter", 1)),
        parts.attach(4),
        parts.show(Link("attach"), 4),
    ),
    (
        LOAD,
        Group("2 · Tell", ("start", "tell")),
        Group("3 · Paint", ("model", "conditioning", "latent", "sample", "decode")),
        Group("4 · Read", ("attach", "show")),
    ),
)

STEP_BY_STEP = Graph(
    "02-step-by-step",
    "Step by step",
    note("02-step-by-step"),
    (
        *parts.load(),
        parts.start("step-by-step"),
        parts.tell(Link("start"), 2, "first", "Turn 1"),
        parts.tell(Link("first"), 3, "second", "Turn 2"),
        parts.tell(Link("second"), 4, "third", "Turn 3"),
        parts.paint(Link("third"), 5),
        parts.show(Link("paint"), 6),
    ),
    (
        LOAD,
        Group("2 · Tell, turn by turn", ("start", "first", "second", "third")),
        Group("3 · Paint", ("paint",)),
        Group("4 · Read", ("show",)),
    ),
)

WHOLE_STORY = Graph(
    "03-whole-story",
    "A whole story in two phases",
    note("03-whole-story"),
    (
        *parts.load(),
        parts.start("whole-story"),
        parts.tell_story(1, panels=10),
        parts.paint(Link("tell"), 2),
        parts.show(Link("paint"), 3),
        *parts.page(Link("show"), 4, "seedstory-page"),
    ),
    (
        LOAD,
        Group("2 · Tell", ("start", "tell")),
        Group("3 · Paint", ("paint",)),
        Group("4 · Read", ("show", "page", "save")),
    ),
)

_LOOP_LOADERS = (
    Node("world", "SeedStory_LoadWorld", 0, {"world": parts.WORLD}),
    parts.picture(),
    Node("base", "SeedStory_LoadWorldPainter", 0, {"world": parts.WORLD}),
    parts.start("loop"),
    parts.apply_detokenizer(Link("base"), 1),
    Node(
        "lora",
        "LoraLoaderModelOnly",
        1,
        {"model": Link("model"), "lora_name": LORA, "strength_model": 0.8},
    ),
    Node(
        "control",
        "SeedStory_LoadWorldControlNet",
        1,
        {"model": Link("base"), "control_net": CONTROLNET},
    ),
    Node("canny", "Canny", 1, {"image": Link("own_size")}),
)
_LOOP_BODY = (
    Node("open", "SeedStory_StoryLoopOpen", 2, {"story": Link("start")}),
    parts.tell(Link("open", 1), 2),
    parts.conditioning(Link("tell", 2), 3),
    Node(
        "steer",
        "ControlNetApplyAdvanced",
        3,
        {
            "positive": Link("conditioning", 0),
            "negative": Link("conditioning", 1),
            "control_net": Link("control"),
            "image": Link("canny"),
            "strength": 0.5,
        },
    ),
    parts.latent(3),
    *parts.sample(4, vae=Link("base", 1), model="lora", steer="steer", seed=Link("open", 3)),
    parts.attach(5),
)
LOOP = Graph(
    "04-loop-lora-controlnet",
    "A loop with your own nodes: LoRA and ControlNet",
    note("04-loop-lora-controlnet"),
    (
        *_LOOP_LOADERS,
        *_LOOP_BODY,
        Node(
            "close",
            "SeedStory_StoryLoopClose",
            6,
            {"loop": Link("open", 0), "story": Link("attach"), "count": 3},
        ),
        parts.show(Link("close"), 6),
        Node(
            "own_size",
            "ImageScale",
            1,
            {
                "image": Link("picture"),
                "upscale_method": "nearest-exact",
                "width": OWN_SIDE,
                "height": OWN_SIDE,
            },
        ),
    ),
    (
        Group("1 · Load", (*(node.key for node in _LOOP_LOADERS), "own_size")),
        Group("2 · The body: once a turn", tuple(node.key for node in _LOOP_BODY), BODY_COLOR),
        Group("3 · Read", ("close", "show")),
    ),
)

GIVEN_CAPTIONS = Graph(
    "05-given-captions",
    "Given captions",
    note("05-given-captions"),
    (
        *parts.load(),
        parts.start("given-captions"),
        parts.tell_story(1, captions="\n".join(CAPTIONS)),
        Node(
            "last",
            "SeedStory_IllustrateCaption",
            2,
            {
                "story": Link("tell"),
                "llm": LLM,
                "caption": LAST_CAPTION,
            },
        ),
        parts.paint(Link("last"), 2),
        parts.show(Link("paint"), 3),
    ),
    (
        LOAD,
        Group("2 · Illustrate your words", ("start", "tell")),
        Group("3 · One more, then paint", ("last", "paint")),
        Group("4 · Read", ("show",)),
    ),
)

ROUND_TRIP = Graph(
    "06-image-features-image",
    "Image to features to image",
    note("06-image-features-image"),
    (
        *parts.load(),
        Node("encode", "SeedStory_EncodeImage", 1, {"vision": VISION, "image": Link("picture")}),
        parts.conditioning(Link("encode"), 1),
        parts.apply_detokenizer(Link("painter"), 1),
        parts.latent(1),
        *parts.sample(2, vae=Link("painter", 1)),
        Node("preview", "PreviewImage", 3, {"images": Link("decode")}),
    ),
    (
        LOAD,
        Group("2 · Features", ("encode", "conditioning", "model", "latent")),
        Group("3 · Paint", ("sample", "decode")),
        Group("4 · Look", ("preview",)),
    ),
)

STORYBOOK = Graph(
    "07-storybook-page",
    "A storybook page",
    note("07-storybook-page"),
    (
        *parts.load(),
        parts.start("storybook"),
        parts.tell_story(1, panels=3),
        parts.paint(Link("tell"), 2),
        *parts.page(Link("paint"), 3, "seedstory-book"),
        Node("panels", "SeedStory_Panels", 4, {"story": Link("paint"), "with_opening": True}),
        Node("captions", "PreviewAny", 4, {"source": Link("panels", 1)}, "Captions"),
        Node("pictures", "PreviewImage", 4, {"images": Link("panels", 0)}, "Pictures"),
    ),
    (
        LOAD,
        Group("2 · Tell", ("start", "tell")),
        Group("3 · Paint", ("paint",)),
        Group("4 · Print", ("page", "save")),
        Group("5 · Take apart", ("panels", "captions", "pictures")),
    ),
)

LONG_STORY = Graph(
    "08-long-story",
    "A long story with the attention sink",
    note("08-long-story"),
    (
        *parts.load(),
        parts.start("long-story"),
        Node("sink", "SeedStory_SinkContext", 1, {"cap": 4}),
        parts.tell_story(2, panels=24, context=Link("sink")),
        parts.paint(Link("tell"), 3),
        parts.show(Link("paint"), 4),
    ),
    (
        LOAD,
        Group("2 · Begin, and choose what is kept in view", ("start", "sink")),
        Group("3 · Tell", ("tell",)),
        Group("4 · Paint", ("paint",)),
        Group("5 · Read", ("show",)),
    ),
)

TWO_FUTURES = Graph(
    "09-two-futures",
    "Two futures of one story",
    note("09-two-futures"),
    (
        *parts.load(),
        parts.start("two-futures"),
        parts.tell_story(1, panels=2),
        Node(
            "futures",
            "SeedStory_TellFutures",
            2,
            {"story": Link("tell"), "llm": LLM, "futures": 2, "panels": 3},
        ),
        parts.paint(Link("futures"), 3),
        *parts.page(Link("paint"), 4, "seedstory-future"),
        Node("texts", "PreviewAny", 4, {"source": Link("futures", 1)}, "What is told"),
    ),
    (
        LOAD,
        Group("2 · What they share", ("start", "tell")),
        Group("3 · Two futures", ("futures",)),
        Group("4 · Paint both", ("paint",)),
        Group("5 · A page for each", ("page", "save", "texts")),
    ),
)

FASTER_PAINTING = Graph(
    "10-faster-painting",
    "Fewer steps, a better solver, guidance that ends early",
    note("10-faster-painting"),
    (
        *parts.load(),
        parts.start("faster"),
        parts.tell_story(1, panels=4),
        Node("guided", "SeedStory_GuidanceUntil", 2, {"model": Link("painter", 0), "until": 0.5}),
        parts.paint(Link("tell"), 2, "guided", **FASTER),
        parts.show(Link("paint"), 3),
    ),
    (
        LOAD,
        Group("2 · Tell", ("start", "tell")),
        Group("3 · Paint faster", ("guided", "paint")),
        Group("4 · Read", ("show",)),
    ),
)

FEW_STEPS = Graph(
    "11-few-step-lora",
    "A few-step LoRA",
    note("11-few-step-lora"),
    (
        *parts.load(),
        parts.start("few-steps"),
        parts.tell_story(1, panels=4),
        Node(
            "lora",
            "LoraLoaderModelOnly",
            2,
            {"model": Link("painter", 0), "lora_name": FEW_STEPS_LORA, "strength_model": 1.0},
        ),
        parts.paint(Link("tell"), 2, "lora", **FEW),
        parts.show(Link("paint"), 3),
    ),
    (
        LOAD,
        Group("2 · Tell", ("start", "tell")),
        Group("3 · Paint in a few steps", ("lora", "paint")),
        Group("4 · Read", ("show",)),
    ),
)

EXAMPLES = (
    ONE_PANEL,
    STEP_BY_STEP,
    WHOLE_STORY,
    LOOP,
    GIVEN_CAPTIONS,
    ROUND_TRIP,
    STORYBOOK,
    LONG_STORY,
    TWO_FUTURES,
    FASTER_PAINTING,
    FEW_STEPS,
    EDIT_AND_REROLL,
    ANY_AUTHOR,
    PRINT_A_BOOK,
    STORY_VIEW,
)
