"""``tell``: a told and painted story without ComfyUI, kept panel by panel.

All panels are told first and then painted, with the LLM gone by then. Every finished panel is in
the folder at once; the same command goes on where a stopped one left off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..book.html import PAGE
from ..context import SPELLINGS, named
from ..context import restore as restore_context
from ..engine import Engine
from ..errors import SeedStoryError
from ..quantised import FORMATS, chosen
from ..sampling import REFERENCE, Nucleus, Sampling, with_temperature
from ..sampling import restore as restore_sampling
from ..troubles import in_words
from ..types import Opening, PaintSettings
from ..world import World
from .places import DTYPES, PICTURE_WORLD
from .progress import Bar
from .tell_memory import add_options
from .tell_resume import remember, remembered, words_of

PANELS = 10
MANY = 1000  # panels beyond this are more likely a slip than a wish
STOPPED = 130
SOLVERS = ("euler", "dpmpp_2m", "uni_pc")  # of the painter, which is loaded later


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "tell",
        help="tell and paint a story",
        description="Tells a story from a picture and a sentence, then paints it. Writes pictures, "
        "captions and index.html; a stopped run goes on with the same command.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the story")
    add("--world", default=PICTURE_WORLD, metavar="W", help="name or path of a world")
    add("--opening", type=int, metavar="N", help="which of the world's openings (the first)")
    add("--image", type=Path, metavar="P", help="picture to begin with, instead of an opening's")
    add("--text", metavar="T", help="sentence to begin with, instead of an opening's")
    add("--panels", type=int, metavar="N", help=f"panels after the opening ({PANELS})")
    add("--captions", type=Path, metavar="FILE", help="a script: one caption a line, .md, .json")
    add("--futures", type=int, metavar="N", help="N stories that begin alike: DIR/future-1...")
    add("--fork-at", type=int, metavar="K", help="panels that all futures share (none)")
    add("--resume", action="store_true", help="go on in DIR with the options of its run")
    add("--yes", action="store_true", help=f"allow more than {MANY} panels")
    telling = parser.add_argument_group("telling")
    add = telling.add_argument
    add("--seed", type=int, default=0, help="seed of panel 0; panel i uses seed + i")
    add("--temperature", type=float, metavar="X", help="0 for the likeliest words (the world's)")
    add("--top-p", type=float, metavar="X", help="share of likely words drawn from (the world's)")
    add("--context", metavar="POLICY", help=f"what the next panel reads: {SPELLINGS} (the world's)")
    add("--reference", action="store_true", help="with the quirks of the published scripts")
    painting = parser.add_argument_group("painting")
    add = painting.add_argument
    add("--no-paint", action="store_true", help="tell only; paint later with the same command")
    add("--steps", type=int, metavar="N", help="sampling steps (the world's, or 50)")
    add("--guidance", type=float, metavar="X", help="how strictly to follow (the world's, or 7.5)")
    add("--paint-seed", type=int, default=42, help="seed of the noise, the same for all panels")
    add("--solver", choices=SOLVERS, default="euler", help="what the painter steps with")
    add("--guided", type=float, metavar="X", default=1.0, help="share of the steps with guidance")
    add("--at-once", type=int, metavar="N", default=1, help="pictures painted together; 0: as fits")
    add("--size", metavar="WxH", help="pixels (the world's)")
    add("--base", type=Path, metavar="P", help="SDXL base: a diffusers folder or .safetensors file")
    machine = parser.add_argument_group("machine")
    add = machine.add_argument
    add("--device", default="auto", help="cpu, cuda, cuda:1, mps...")
    add("--dtype", default="auto", choices=["auto", *DTYPES], help="precision")
    add("--quantise", default="none", choices=[*FORMATS], help="bits of the LLM's layers")
    add_options(add)


def run(args: argparse.Namespace) -> int:
    """Tell, then paint; 130 when stopped."""
    words = words_of(args, defaults())
    if args.resume:
        out, plan = args.out, args.plan
        args = parsed([*remembered(out), *words, f"--out={out}"])
        args.plan, words = plan, words_of(args, defaults())
    captions = _captions(args.captions)
    panels = _panel_count(args, len(captions))
    context = None if args.context is None else named(args.context)
    settings = paint_settings(args)
    from .places import device_of, dtype_of, open_world
    from .tell_futures import Futures, check_options
    from .tell_memory import planned
    from .telling import Run

    world = open_world(args.world)
    device = device_of(args.device)
    dtype = dtype_of(args.dtype, device)
    form = chosen(args.quantise)
    sampling = sampling_of(world, args)
    if context is None:
        context = restore_context(world.defaults.get("context", {"class": "Window"}))
    if world.notice:
        print(f"Note: {world.notice}")
    check_options(args, panels, len(captions), sampling)
    context = planned(args, world, device, dtype, context, sampling, settings, panels)
    if args.plan:
        return 0

    def make(folder: Path, seed: int, engine: Engine | None = None) -> Run:
        how = {"seed": seed, "reference": args.reference, "form": form, "engine": engine}
        return Run(folder, world, device, dtype, sampling, context, **how)

    run = make(args.out, args.seed) if args.futures is None else Futures(args, make)
    try:
        with in_words():
            run.begin(opening_of(world, args), captions)
            remember(args.out, words)
            run.tell(panels, captions, Bar("Telling", run.missing(panels)))
            if not args.no_paint:
                settings = _with_defaults(settings, world, args)
                run.paint(settings, args.base, Bar("Painting", run.blank), args.at_once)
            run.pack()
    except (KeyboardInterrupt, SeedStoryError) as stopped:
        kept = run.summary(panels)
        if isinstance(stopped, SeedStoryError):
            if kept:
                print(kept, file=sys.stderr)
            raise
        run.pack()
        print(f"\nStopped. {kept or 'Nothing was told yet.'}", file=sys.stderr)
        return STOPPED
    finally:
        run.close()
    print(run.ending(PAGE))
    return 0


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Arguments of this command from the words of a command line, without the command."""
    parser = argparse.ArgumentParser(prog="seedstory")
    add_parser(parser.add_subparsers())
    return parser.parse_args(["tell", *words])


def defaults() -> dict[str, Any]:
    """What every option is where it is not given."""
    return vars(parsed(["--out=."]))


def opening_of(world: World, args: argparse.Namespace) -> Opening:
    """The user's picture and sentence; what is missing comes from an opening of the world's."""
    from ..images import read_picture

    if args.image is not None and args.text is None:
        raise SeedStoryError("A picture needs a sentence to begin with: add --text.")
    run = args.out.resolve().name or "story"
    if args.image is not None:
        return Opening(args.text, read_picture(args.image), run=run)
    if not world.openings:
        raise SeedStoryError(
            f"World {world.name!r} brings no opening of its own: give --image and --text."
        )
    path, text = world.opening(1 if args.opening is None else args.opening)
    return Opening(args.text if args.text is not None else text, read_picture(path), run=run)


def sampling_of(world: World, args: argparse.Namespace) -> Sampling:
    """The world's sampling, or the reference's, with what the command line changes."""
    base = restore_sampling(world.defaults.get("sampling", {}))
    if args.reference:
        base = REFERENCE
    if args.temperature is None and args.top_p is None:
        return base
    known = base.picker if isinstance(base.picker, Nucleus) else Nucleus()
    temperature = known.temperature if args.temperature is None else args.temperature
    top_p = known.top_p if args.top_p is None else args.top_p
    return with_temperature(base, temperature, top_p)


def paint_settings(args: argparse.Namespace) -> PaintSettings:
    """The painting options that were given; the others stay the reference's."""
    settings = PaintSettings(seed=args.paint_seed, solver=args.solver, guidance_until=args.guided)
    if args.steps is not None:
        settings = replace(settings, steps=args.steps)
    if args.guidance is not None:
        settings = replace(settings, guidance=args.guidance)
    if args.size is not None:
        sides = args.size.lower().split("x")
        if len(sides) != 2 or not all(side.isdecimal() for side in sides):
            raise SeedStoryError(f"--size is WIDTHxHEIGHT, as 1024x1024, got {args.size!r}.")
        settings = replace(settings, size=(int(sides[0]), int(sides[1])))
    return settings


def _with_defaults(
    settings: PaintSettings, world: World, args: argparse.Namespace
) -> PaintSettings:
    wanted = world.defaults.get("paint", {})
    if args.steps is None and "steps" in wanted:
        settings = replace(settings, steps=int(wanted["steps"]))
    if args.guidance is None and "guidance" in wanted:
        settings = replace(settings, guidance=float(wanted["guidance"]))
    return settings


def _captions(path: Path | None) -> list[str]:
    """A script's captions; what its suffix says is how it is written."""
    if path is None:
        return []
    from ..author.scripts import AUTO, SUFFIXES, read_script

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SeedStoryError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    except OSError as error:
        raise SeedStoryError(f"The captions {path} cannot be read ({error}).") from error
    return list(read_script(text, SUFFIXES.get(path.suffix.lower(), AUTO)).captions)


def _panel_count(args: argparse.Namespace, captions: int) -> int:
    from ..story_reader import MAX_PANELS

    panels = args.panels if args.panels is not None else (captions or PANELS)
    if not 0 <= panels < MAX_PANELS:
        raise SeedStoryError(f"--panels is 0 to {MAX_PANELS - 1}, got {panels}.")
    if panels > MANY and not args.yes:
        raise SeedStoryError(
            f"{panels} panels are a lot: with the released weights they take about "
            f"{panels * 2 / 1024:.0f} GB of features and {panels * 3 / 1024:.0f} GB of pictures, "
            "in memory and on disk. If you mean it, add --yes."
        )
    return panels
