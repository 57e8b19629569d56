"""Operations on stories: pure functions from a story to a new story.

A panel's ``uid`` is a hash chain over what was told: engine, world, characters, and for this panel
and all before it the caption, the text, the origin, the token ids, and the picture where one was
given to be read. All else follows from these. Features stay out although later panels read them:
told again with other rows in the cache they differ by rounding, and it is the same story still
(`story_store` compares them with a tolerance). Painted pictures, seeds and provenance stay out too.
"""

from __future__ import annotations

import hashlib
import json
import re
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import SeedStoryError
from .images import check_picture
from .types import ImageFeatures, Json, Panel, Story, with_panel

if TYPE_CHECKING:
    from .engine import Engine

#: Provenance: the digest of the picture that a panel's features were read from, as an opening's.
GIVEN = "given_picture"
#: Provenance: true where a painted picture was read again, so that later panels follow it.
FED_BACK = "fed_back"

#: Marks that turn the direction of text, past the end of a caption too.
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Those, and Unicode's control characters but tabs and line breaks.
_UNREADABLE = re.compile(f"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f{''.join(sorted(TURNING))}]")

_digests: dict[int, tuple[weakref.ref[Tensor], str]] = {}  # of tensors alive; never grows stale


def append(story: Story, panel: Panel) -> Story:
    """``story`` and ``panel`` at its end, its uid set.

    Raises:
        SeedStoryError: the story has ended, or the panel's features or picture are unusable.
    """
    if story.ended:
        raise SeedStoryError(
            f"The story {story.run!r} has ended ({story.closing!r}); no panel can follow. Rewind "
            "it, or start a new one."
        )
    check_text(panel.caption + panel.text, f"caption of panel {len(story)}")
    check_features(panel.features, f"panel {len(story)}")
    if panel.image is not None:
        check_picture(panel.image, f"picture of panel {len(story)}")
    reads = panel.origin == "opening" or panel.provenance.get(FED_BACK)
    if reads and panel.image is not None and GIVEN not in panel.provenance:
        given = {**panel.provenance, GIVEN: pixel_digest(panel.image)}
        panel = replace(panel, provenance=given)
    return with_panel(story, replace(panel, uid=next_uid(story, panel)))


def next_uid(story: Story, panel: Panel) -> str:
    """The uid of ``panel`` when it follows the last panel of ``story``."""
    before = story.panels[-1].uid if story.panels else _root_uid(story)
    digest = hashlib.sha256(before.encode())
    fields = [panel.caption, panel.text, panel.origin, list(panel.token_ids)]
    fields.append(panel.provenance.get(GIVEN))
    digest.update(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode())
    return digest.hexdigest()


def _root_uid(story: Story) -> str:
    who = [
        [who.name, who.phrase, [pixel_digest(image) for image in who.images]]
        for who in story.characters
    ]
    body = json.dumps([story.engine, story.world.digest, who], separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()


def pixel_digest(image: Tensor) -> str:
    """sha256 over dtype, shape and values of a picture, or any tensor; computed once for each."""
    known = _digests.get(id(image))
    if known is not None and known[0]() is image:
        return known[1]
    digest = hashlib.sha256(f"{image.dtype}{list(image.shape)}".encode())
    flat = image.detach().cpu().contiguous().reshape(-1)  # any shape -> its elements in order
    digest.update(flat.view(torch.uint8).numpy().data)
    key = id(image)
    _digests[key] = (weakref.ref(image, lambda _: _digests.pop(key, None)), digest.hexdigest())
    return digest.hexdigest()


def feature_digests(panel: Panel) -> dict[str, str]:
    """``{space: digest}`` of a panel's features."""
    return {space: pixel_digest(tensor) for space, tensor in sorted(panel.features.items())}


def attach_image(
    story: Story, index: int, image: Tensor, paint: Mapping[str, Json] | None = None
) -> Story:
    """``story`` with uint8 [H, W, 3] as the picture of panel ``index``; ``paint`` says how made."""
    index = check_index(story, index)
    check_picture(image, f"picture for panel {index}")
    panel = story.panels[index]
    provenance = {key: value for key, value in panel.provenance.items() if key != "paint"}
    if paint is not None:
        provenance["paint"] = dict(paint)
    painted = replace(panel, image=image, provenance=provenance)
    return replace(story, panels=(*story.panels[:index], painted, *story.panels[index + 1 :]))


def check_index(story: Story, index: int) -> int:
    """``index`` of a panel, negative ones counted from the end, as a number from 0."""
    if not -len(story) <= index < len(story):
        raise SeedStoryError(
            f"Story {story.run!r} has panels 0 to {len(story) - 1}, but panel {index} was "
            "asked for."
        )
    return index % len(story)


def unpainted(story: Story) -> tuple[int, ...]:
    """Indices of the panels that have no picture yet."""
    return tuple(i for i, panel in enumerate(story.panels) if panel.image is None)


def features_of(story: Story, space: str) -> ImageFeatures:
    """The features of all panels in one feature space, [N, L, D].

    Raises:
        SeedStoryError: a panel has none, or of another shape.
    """
    rows = [panel.features.get(space) for panel in story.panels]
    lacking = [index for index, row in enumerate(rows) if row is None]
    if lacking:
        raise SeedStoryError(
            f"Panels {lacking[:10]} of story {story.run!r} have no {space!r} features; it was told "
            f"by {story.engine!r}. Tell it anew with the engine of this world."
        )
    found = [row for row in rows if row is not None]
    shapes = {tuple(row.shape) for row in found}
    if len(shapes) != 1:
        raise SeedStoryError(
            f"The {space!r} features of story {story.run!r} differ in shape ({sorted(shapes)}); "
            "the story was mixed from different worlds."
        )
    return ImageFeatures(torch.stack(found), space, story.world)


def check_text(text: str, what: str) -> None:
    """Refuse text that no file can hold (lone surrogates, as from undecodable command lines)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SeedStoryError(
            f"The {what} is not valid Unicode text (position {error.start}). Give it as UTF-8."
        ) from error


def check_caption(text: str, what: str) -> None:
    """Refuse a caption that no page can show: `check_text`, and no control characters but tabs and
    line breaks, nor marks that turn the direction of the text behind it."""
    check_text(text, what)
    found = _UNREADABLE.search(text)
    if found is not None:
        raise SeedStoryError(
            f"The {what} has the control character U+{ord(found[0]):04X} at letter "
            f"{found.start() + 1}, which cannot be read or printed. Take it out."
        )


def check_features(features: Mapping[str, Tensor], what: str) -> None:
    """Refuse features that no later panel could read."""
    for space, tensor in features.items():
        if not tensor.numel() or not 1 <= tensor.ndim <= 4:
            raise SeedStoryError(
                f"The {space!r:.80} features of {what} have the shape "
                f"{list(tensor.shape)!r:.80}; expected [tokens, width] with at least one element."
            )
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise SeedStoryError(
                f"The {space!r:.80} features of {what} hold NaN or infinite numbers. They were "
                "made with damaged weights or too little precision: check the world with "
                "python -m seedstory_core doctor, or tell with fp32 or bf16."
            )


def check_story(story: Story, engine: Engine) -> None:
    """Refuse a story that ``engine`` has not told: its features mean nothing to other weights."""
    if not story.panels:
        raise SeedStoryError("The story has no panel. Begin one with Start Story.")
    if story.engine != engine.name:
        raise SeedStoryError(
            f"Story {story.run!r} was told by the engine {story.engine!r}, not by {engine.name!r}. "
            f"Load a world of {story.engine!r}."
        )
    if story.world.digest != engine.world.digest:
        raise SeedStoryError(
            f"Story {story.run!r} was told with the world {story.world.name!r} "
            f"({story.world.digest[:12]}), but the world loaded is {engine.world.name!r} "
            f"({engine.world.digest[:12]}). Features of one world mean nothing to another: load "
            f"the first, or start the story anew."
        )
