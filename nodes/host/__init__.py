"""The one adapter to ComfyUI: folders, memory management, progress, sampling, graph rewriting.

Nodes call these functions and never ComfyUI's own. `comfy.*` is imported inside functions, so that
importing the pack stays light and touches no device.
"""

from .conditioning import patch_model, to_conditioning
from .controlnet import controlnet_choices, find_controlnet, load_controlnet
from .display import saved_panels, text_ui
from .folders import (
    find_story,
    fonts_folder,
    open_named_world,
    register_folders,
    stories_folder,
    story_choices,
    story_folder,
    world_choices,
)
from .graph import PromptGraph, nothing
from .guidance import guided_until
from .keeping import keep_story
from .latents import empty_latent
from .pages import font_names, layout_names, story_pages
from .parking import parking
from .parts import PRECISIONS, comfy_host
from .plans import planned, preset_names
from .press import (
    book_settings,
    page_batch,
    pressed,
    story_video,
    template_names,
    trim_names,
)
from .progress import Reporter, interruptible
from .quantised import QUANTISED
from .routes import register_routes
from .sampling import (
    BY_ITSELF,
    ReferenceNoise,
    SamplerSettings,
    largest_sigma,
    paint_one,
    paint_some,
    sampler_names,
    scheduler_names,
    worth_at_once,
)
from .schema import schema
from .trees import story_tree
from .unet import load_painter

__all__ = [
    "BY_ITSELF",
    "PRECISIONS",
    "PromptGraph",
    "QUANTISED",
    "ReferenceNoise",
    "Reporter",
    "SamplerSettings",
    "book_settings",
    "comfy_host",
    "controlnet_choices",
    "empty_latent",
    "find_controlnet",
    "find_story",
    "font_names",
    "fonts_folder",
    "guided_until",
    "interruptible",
    "keep_story",
    "largest_sigma",
    "layout_names",
    "load_controlnet",
    "load_painter",
    "nothing",
    "open_named_world",
    "paint_one",
    "paint_some",
    "page_batch",
    "parking",
    "patch_model",
    "planned",
    "preset_names",
    "pressed",
    "register_folders",
    "register_routes",
    "sampler_names",
    "saved_panels",
    "scheduler_names",
    "schema",
    "stories_folder",
    "story_choices",
    "story_folder",
    "story_pages",
    "story_video",
    "template_names",
    "story_tree",
    "text_ui",
    "to_conditioning",
    "trim_names",
    "world_choices",
    "worth_at_once",
]
