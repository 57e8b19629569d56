"""``evaluate``: tell stories with a world of Picture World's kind and judge every panel.

Probes read the pictures and a parser the captions; shares come with 95 % intervals, beside ceilings
(true pictures, the VAE alone, true features) and floors (shuffled features, an untrained painter).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..context import SPELLINGS, named
from ..errors import SeedStoryError
from ..quantised import FORMATS, chosen
from .places import DTYPES
from .progress import Bar

WORLD = "picture-world"


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="judge the stories of a picture world",
        description="Tells stories from openings that training never saw, paints them, and reads "
        "them again with probes and a parser. A stopped run goes on where --keep is given.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--world", default=WORLD, metavar="W", help="name or path of a world")
    add("--json", type=Path, metavar="FILE", help="where the figures go")
    add("--table", type=Path, metavar="FILE", help="the figures as Markdown tables")
    add("--sheets", type=Path, metavar="DIR", help="pages of the told stories, as PNG")
    add("--keep", type=Path, metavar="DIR", help="keeps told stories; the same command goes on")
    what = parser.add_argument_group("what is told")
    add = what.add_argument
    add("--stories", type=int, default=20, metavar="N", help="stories a run")
    add("--panels", type=int, metavar="P", help="panels after each opening (25, or the longest)")
    add("--lengths", metavar="L,L", help="judge the first panels too: 10,25,50,100 (all panels)")
    add("--policy", default="window:8", metavar="P,P", help=f"all, or {SPELLINGS}")
    add("--sampling", default="greedy,sampled", metavar="S,S", help="greedy, sampled or both")
    add(
        "--starts",
        default="held-out",
        choices=["held-out", "openings", "guest"],
        help="where stories begin; guest: stories of a friend that a world has been adapted to",
    )
    add("--seed", type=int, default=0, help="of starts, words and noise")
    add("--no-script", action="store_true", help="judge no given captions")
    add("--no-references", action="store_true", help="judge no ceilings and floors")
    add("--damaged", action="store_true", help="compare with worlds damaged on purpose")
    add("--painting", action="store_true", help="compare ways of painting, and no more")
    steering = parser.add_argument_group("steering")
    add = steering.add_argument
    add("--steering", action="store_true", help="judge how the world is steered, and no more")
    add("--lora", type=Path, metavar="FILE", help="of `train style-lora`")
    add("--style", default="night", help="what that LoRA was trained for")
    add("--controlnet", type=Path, metavar="FILE", help="of `train controlnet`")
    probes = parser.add_argument_group("probes")
    add = probes.add_argument
    add("--probes", type=Path, metavar="FILE", help="other probes than the shipped ones")
    add("--make-probes", type=Path, metavar="FILE", help="train probes (by --seed), and no more")
    machine = parser.add_argument_group("machine")
    add = machine.add_argument
    add("--device", default="cpu", help="cpu, cuda, cuda:1, mps, auto")
    add("--dtype", default="auto", choices=["auto", *DTYPES], help="precision")
    add("--quantise", default="none", choices=[*FORMATS], help="bits of the LLM's layers")


def run(args: argparse.Namespace) -> int:
    """Judge and write; or make probes."""
    if args.make_probes is not None:
        return _make_probes(args)
    from ..evaluation.evaluate import Judge, evaluate
    from ..evaluation.probes import SHIPPED, open_probes
    from ..evaluation.tables import markdown
    from .places import device_of, dtype_of, open_world

    request = _steering(args) if args.steering else _request(args)
    probes = open_probes(args.probes or SHIPPED)
    device = device_of(args.device)
    dtype, form = dtype_of(args.dtype, device), chosen(args.quantise)
    judge = Judge(open_world(args.world), probes, args.keep, device, dtype, form)
    if args.steering:
        return _steer(args, judge, request)
    if args.painting:
        return _paint(args, judge, request)
    stages = _Stages()
    result = evaluate(judge, request, stages, _sheets(args.sheets))
    result["quantised"] = args.quantise
    if args.damaged:
        from ..evaluation.damage_ranking import rank_damages

        result["damaged"] = rank_damages(judge, request, stages)
    stages.done()
    return _write(args, result, markdown(result))


def _write(args: argparse.Namespace, result: Any, text: str) -> int:
    from ..files import atomic_write_bytes, atomic_write_json

    if args.json is not None:
        atomic_write_json(args.json, result)
    if args.table is not None:
        atomic_write_bytes(args.table, text.encode())
    print(text)
    return 0


def _steering(args: argparse.Namespace) -> Any:
    from ..evaluation.steering import Steering

    return Steering(args.stories, args.lora, args.controlnet, args.style, args.seed)


def _steer(args: argparse.Namespace, judge: Any, request: Any) -> int:
    from ..evaluation.steering import measure
    from ..evaluation.steering_tables import steering_markdown

    stages = _Stages()
    result = measure(judge, request, stages)
    stages.done()
    return _write(args, result, steering_markdown(result))


def _paint(args: argparse.Namespace, judge: Any, request: Any) -> int:
    from ..evaluation.ways import measure_ways, ways_markdown

    stages = _Stages()
    result = measure_ways(judge, request.stories, request.panels, request.seed, stages)
    stages.done()
    return _write(args, result, ways_markdown(result))


class _Stages:
    """Makes the bar of each stage of the work, and takes the last one off the screen."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def __call__(self, name: str) -> Bar:
        self.done()
        print(f"{name}...", flush=True)
        self._bar = Bar(name, 1)
        return self._bar

    def done(self) -> None:
        """No stage follows."""
        if self._bar is not None:
            self._bar.clear()


def _make_probes(args: argparse.Namespace) -> int:
    from ..evaluation.probe_training import make_probes

    bar = Bar("Probes", 1)
    found = make_probes(args.make_probes, args.seed, progress=bar)
    bar.finish(f"{args.make_probes}, right on unseen renders:")
    for name, share in found.items():
        print(f"  {name:<10} {share:.2%}")
    return 0


def _request(args: argparse.Namespace) -> Any:
    from ..evaluation.evaluate import POLICIES, Request

    lengths = tuple(_number(word) for word in args.lengths.split(",")) if args.lengths else ()
    panels = args.panels if args.panels is not None else max((25, *lengths))
    words = [] if args.policy == "all" else args.policy.split(",")
    return Request(
        stories=args.stories,
        panels=panels,
        lengths=lengths,
        policies=tuple(named(word) for word in words) or POLICIES,
        samplings=tuple(args.sampling.split(",")),
        starts=args.starts,
        script=not args.no_script,
        references=not args.no_references,
        seed=args.seed,
    )


def _number(word: str) -> int:
    if not word.strip().isdecimal():
        raise SeedStoryError(f"--lengths are whole numbers with commas, as 10,25, got {word!r}.")
    return int(word)


def _sheets(folder: Path | None) -> Callable[[str, Sequence[Any]], None]:
    """Writes a page of each story it is given, where a folder is."""
    from ..evaluation.sheets import write_sheets

    def write(name: str, stories: Sequence[Any]) -> None:
        if folder is not None:
            for path in write_sheets(folder, stories, name):
                print(path)

    return write
