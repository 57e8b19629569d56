"""A tiny SDXL in this process, from nodes that stand for ComfyUI's loaders."""

from __future__ import annotations

from typing import Any

import torch

from . import tiny_files


def sdxl_model() -> Any:
    """A MODEL that is SDXL in everything but size; always the same weights."""
    import comfy.model_management as management
    import comfy.model_patcher
    import comfy.supported_models

    class TinySDXL(comfy.supported_models.SDXL):
        unet_config = tiny_files.DETECTED
        unet_extra_config = {"num_heads": -1, "num_head_channels": 32}

    depths = {"transformer_depth_output": list(tiny_files.UNET_OUTPUT_DEPTH), "out_channels": 4}
    config = TinySDXL(dict(tiny_files.UNET) | depths)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "")
    model.diffusion_model.load_state_dict(tiny_files.unet_state())
    offload = management.unet_offload_device()
    return comfy.model_patcher.ModelPatcher(model, management.get_torch_device(), offload)


def sdxl_vae() -> Any:
    """A VAE of SDXL's latents: four channels, eight pixels apart."""
    import comfy.sd

    return comfy.sd.VAE(sd=tiny_files.vae_state())


def loaders() -> list[Any]:
    """TestSdxl -> MODEL, VAE; TestSigmas -> SIGMAS of so many values; TestAny asks for a value."""
    from comfy_api.latest import io

    class Sdxl(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            outputs = [io.Model.Output(), io.Vae.Output()]
            return io.Schema(node_id="TestSdxl", inputs=[], outputs=outputs)

        @classmethod
        def execute(cls) -> io.NodeOutput:
            return io.NodeOutput(sdxl_model(), sdxl_vae())

    class Sigmas(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            inputs, outputs = [io.Int.Input("count")], [io.Sigmas.Output()]
            return io.Schema(node_id="TestSigmas", inputs=inputs, outputs=outputs)

        @classmethod
        def execute(cls, count: int) -> io.NodeOutput:
            return io.NodeOutput(torch.linspace(10.0, 0.0, count))

    class Anything(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            inputs = [io.AnyType.Input("value")]
            return io.Schema(node_id="TestAny", inputs=inputs, is_output_node=True)

        @classmethod
        def execute(cls, value: Any) -> io.NodeOutput:
            return io.NodeOutput()

    return [Sdxl, Sigmas, Anything]
