"""``convert``: official SEED-Story files to a world folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from ..strict_json import read_json
from .byte_progress import ByteProgress

INCOMPLETE = 1
MAX_CONFIG = 1 << 20  # bytes


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "convert",
        help="official SEED-Story files to a world folder",
        description="Reads official files without running their code and writes a world folder. "
        "Inputs may come in one call or one by one; a stopped conversion goes on where it was.",
    )
    parser.add_argument("--world", type=Path, required=True, help="world folder to make")
    for name, what in (
        ("tokenizer", "folder cvlm_llama2_tokenizer"),
        ("agent", "agent pytorch_model.bin, .safetensors or index of shards"),
        ("visual", "visual tokenizer (qwen_vit_G.pt), or Qwen-VL-Chat's folder or index"),
        ("detokenizer", "de-tokenizer pytorch_model.bin"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="PATH", help=what)
    parser.add_argument(
        "--sdxl-base",
        type=Path,
        metavar="PATH",
        help="SDXL base (one file, or a diffusers folder): keeps only the UNet tensors that "
        "differ from it; without it the world carries its whole UNet",
    )
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    parser.add_argument("--lora-alpha", type=float, default=32.0, help="of the agent (default 32)")
    parser.add_argument(
        "--config", type=Path, help="JSON with sizes that shapes do not tell, as heads"
    )
    parser.add_argument("--unet-config", type=Path, help="diffusers UNet config (default: SDXL's)")
    parser.add_argument("--title", help="the world's title (default: its folder's name)")
    parser.add_argument("--licence", help="terms, where they are not the official files'")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when the world is complete, 1 while inputs are missing."""
    import torch

    from ..engines.seed_story.conversion.inputs import Options, missing_inputs
    from ..engines.seed_story.conversion.world import Inputs, Labels, convert

    more: dict[str, Any] = {} if args.config is None else {"sizes": _json(args.config)}
    if args.unet_config is not None:
        more["unet_config"] = _json(args.unet_config)
    options = Options(getattr(torch, args.dtype), args.lora_alpha, **more)
    inputs = Inputs(args.tokenizer, args.agent, args.visual, args.detokenizer, args.sdxl_base)
    labels = Labels(args.title, args.licence)
    try:
        world = convert(args.world, inputs, options, labels, ByteProgress())
    except KeyboardInterrupt:
        print("\nFinished files are kept; the same command goes on from there.")
        raise
    if world is None:
        print(
            f"{args.world} is not complete yet. "
            f"Still wanted: {', '.join(missing_inputs(args.world))}"
        )
        return INCOMPLETE
    print(f"World {world.name!r} is complete: {args.world}")
    print(f"Try: python -m seedstory_core doctor, or tell --world {args.world}")
    return 0


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > MAX_CONFIG:
        raise SeedStoryError(f"There is no JSON file of at most {MAX_CONFIG} bytes at {path}.")
    data = read_json(path, MAX_CONFIG)
    if not isinstance(data, dict):
        raise SeedStoryError(f"{path} must hold a JSON object, not {type(data).__name__}.")
    return {key: value for key, value in data.items() if not key.startswith("_")}
