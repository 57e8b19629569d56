"""SEED-Story for ComfyUI: picture stories told by a multimodal LLM, as composable nodes."""

WEB_DIRECTORY = "web"

if __package__:  # also imported bare, by pytest's collection, where relative imports cannot work
    from .nodes import comfy_entrypoint

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
