"""The pictures of a new series, checked, and put beside the rehearsed ones."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..engines.seed_story.prompt import Vocabulary
from ..errors import SeedStoryError
from ..files import sha256_of
from ..images import read_picture
from .adapt_settings import FEWEST, MOST
from .data import Stories, Tale, open_data

LONG = 0.9  # of all captions are at most as long as a "long" one
MAX_NAMED = 20  # damaged pictures in a message
A_WORD = 1.4  # tokens, with its punctuation


@dataclass(frozen=True)
class Lessons:
    """New and rehearsed stories behind one another, with paths of their own.

    Attributes:
        tales: how many of the stories are new; the others are rehearsed.
    """

    stories: Stories
    tales: int

    @property
    def new(self) -> int:
        """New panels."""
        return self.stories.starts[self.tales]

    @property
    def rehearsed(self) -> int:
        """Rehearsed panels."""
        return len(self.stories) - self.new


def open_series(folder: Path, words: Vocabulary | None) -> Stories:
    """The user's stories: the split ``train``, or a plain folder.

    Args:
        words: of the world that shall read them; None leaves the captions unchecked.

    Raises:
        SeedStoryError: too few pictures to learn from, too many, pictures without a caption, or
            captions that the world cannot read.
    """
    if not folder.is_dir():
        raise SeedStoryError(f"There is no folder {folder}: --data needs pictures with captions.")
    stories = open_data(folder, "train")
    count = len(stories)
    if count < FEWEST or all(len(tale.images) < 2 for tale in stories.tales):
        raise SeedStoryError(
            f"{folder} has {count} picture{'s' if count > 1 else ''} in {len(stories.tales)} "
            f"stories. An adaptation needs a story of {FEWEST} at least, and does well with 20 to "
            "200: the model learns what follows on what."
        )
    if count > MOST:
        raise SeedStoryError(
            f"{folder} has {count} pictures; adaptation takes {MOST} at most. Train a world of "
            "your own with so many (seedstory train all)."
        )
    check_pictures(stories)
    for number, caption in enumerate(stories.captions if words is not None else ()):
        assert words is not None
        words.check_caption(caption, f"caption of {stories.paths[number].name}")
    return stories


def check_pictures(stories: Stories) -> None:
    """Read every picture once, so that a damaged one is known before hours of work.

    Raises:
        SeedStoryError: pictures are missing or damaged; all of them are named.
    """
    wrong = []
    for path in dict.fromkeys(stories.paths):
        try:
            read_picture(path)
        except SeedStoryError as error:
            short = str(error).partition(". ")[0].replace(f"{stories.root}{os.sep}", "")
            wrong.append(f"  {short}")
    if wrong:
        more = f"\n  ... and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        raise SeedStoryError(
            f"{len(wrong)} of the {len(stories)} pictures in {stories.root} cannot be used. Mend "
            "or remove them:\n" + "\n".join(wrong[:MAX_NAMED]) + more
        )


def joined(new: Stories, rehearsed: Stories | None) -> Lessons:
    """Both, in this order."""
    tales = [*_absolute(new), *(_absolute(rehearsed) if rehearsed is not None else ())]
    return Lessons(Stories(new.root, "lessons", tuple(tales)), len(new.tales))


def first_panels(stories: Stories, most: int) -> Stories:
    """The first stories with ``most`` panels together, the last one cut off."""
    tales, left = [], most
    for tale in stories.tales:
        if left < 2:
            break
        tales.append(replace(tale, images=tale.images[:left], captions=tale.captions[:left]))
        left -= len(tale.images)
    return Stories(stories.root, stories.name, tuple(tales))


def _absolute(stories: Stories) -> list[Tale]:
    root = stories.root.resolve()
    return [
        replace(tale, images=tuple(str(root / image) for image in tale.images))
        for tale in stories.tales
    ]


def long_caption(stories: Stories, words: Vocabulary | None) -> int:
    """Tokens of a long caption; guessed from its words where there is no vocabulary."""
    if words is None:
        sizes = sorted(int(A_WORD * len(caption.split())) + 2 for caption in stories.captions)
    else:
        sizes = sorted(len(words.tokenizer.encode(caption)) for caption in stories.captions)
    return sizes[int(LONG * (len(sizes) - 1))]


def longest_story(stories: Stories) -> int:
    return max(len(tale.images) for tale in stories.tales)


def digest_of_data(stories: Stories) -> str:
    """A digest of captions and picture files, whatever their folder is called."""
    digest = hashlib.sha256()
    for tale in stories.tales:
        digest.update(f"story {len(tale.images)}\n".encode())
    for path, caption in zip(stories.paths, stories.captions, strict=True):
        digest.update(f"{sha256_of(path)} {caption}\n".encode())
    return digest.hexdigest()
