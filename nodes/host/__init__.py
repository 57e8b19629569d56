"""The one adapter to ComfyUI: folders, memory management, progress, sampling, graph rewriting.

Nodes call these functions and never ComfyUI's own. `comfy.*` is imported inside functions, so that
importing the pack stays light and touches no device.
"""

from .carrying import (
    EVERY,
    FIRST,
    NONE,
    carrier,
    carrier_choices,
    save_file,
    save_pictures,
    workflow_here,
)
from .conditioning import patch_model, to_conditioning
from .controlnet import controlnet_choices, find_controlnet, load_controlnet
from .display import saved_panels, text_ui
from .fitting import check_changed, check_model, check_vae
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
from .graph import PromptGraph, can_expand, keeps_results, nothing
from .guidance import guided_until
from .keeping import keep_story
from .lacking import said_in_words
from .latents import empty_latent
from .library import card_choices, cards_state, characters_folder, script_choices, script_file
from .loras import NO_LORA, lora_choices, with_lora
from .pages import check_font, font_names, layout_names, page_left_out, story_pages
from .parking import parking
from .parts import PRECISIONS, comfy_host
from .plans import planned, preset_names
from .press import (
    book_settings,
    check_endings,
    left_out,
    page_batch,
    pressed,
    story_video,
    template_names,
    trim_names,
)
from .progress import Reporter, further_item, interruptible
from .quantised import QUANTISED
from .routes import register_routes
from .sampling import (
    BY_ITSELF,
    ReferenceNoise,
    SamplerSettings,
    check_sigmas,
    check_size,
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
    "EVERY",
    "FIRST",
    "NONE",
    "NO_LORA",
    "PRECISIONS",
    "PromptGraph",
    "QUANTISED",
    "ReferenceNoise",
    "Reporter",
    "SamplerSettings",
    "book_settings",
    "can_expand",
    "card_choices",
    "cards_state",
    "carrier",
    "carrier_choices",
    "characters_folder",
    "check_changed",
    "check_endings",
    "check_font",
    "check_model",
    "check_sigmas",
    "check_size",
    "check_vae",
    "comfy_host",
    "controlnet_choices",
    "empty_latent",
    "find_controlnet",
    "find_story",
    "font_names",
    "fonts_folder",
    "further_item",
    "guided_until",
    "interruptible",
    "keep_story",
    "keeps_results",
    "largest_sigma",
    "layout_names",
    "left_out",
    "load_controlnet",
    "load_painter",
    "lora_choices",
    "nothing",
    "open_named_world",
    "page_batch",
    "page_left_out",
    "paint_one",
    "paint_some",
    "parking",
    "patch_model",
    "planned",
    "preset_names",
    "pressed",
    "register_folders",
    "register_routes",
    "sampler_names",
    "save_file",
    "said_in_words",
    "save_pictures",
    "saved_panels",
    "scheduler_names",
    "schema",
    "script_choices",
    "script_file",
    "stories_folder",
    "story_choices",
    "story_folder",
    "story_pages",
    "story_tree",
    "story_video",
    "template_names",
    "text_ui",
    "to_conditioning",
    "trim_names",
    "with_lora",
    "workflow_here",
    "world_choices",
    "worth_at_once",
]
