"""A preview video: slow pans and zooms over the pictures, cross-fades, captions at the foot.

Silent and timed like the subtitles, so that a speech node's voice can be laid under it. H.264 in
MP4, written by PyAV, frame by frame: memory does not grow with the length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ..book.fonts import Fonts
from ..book.letters import printable
from ..book.text import Setter
from ..errors import SeedStoryError
from ..files import atomic_path
from ..types import Progress, Story, no_progress
from .extras import need
from .raster import resample
from .sheets import Rect
from .timing import Pace, spans

FADE = 0.5  # seconds of a cross-fade
ZOOM = 1.18  # largest magnification
BACK, TEXT, BAND = "#14110f", "#ffffff", 0.24  # share of the height that captions may cover
MAX_SECONDS = 6 * 3600
#: Where the view begins and ends on a picture: (zoom, x, y), the places in shares of what is spare.
MOVES = (
    ((1.0, 0.5, 0.5), (ZOOM, 0.5, 0.4)),
    ((ZOOM, 0.0, 0.5), (ZOOM, 1.0, 0.5)),
    ((ZOOM, 0.5, 0.3), (1.0, 0.5, 0.5)),
    ((ZOOM, 1.0, 0.5), (ZOOM, 0.0, 0.4)),
)


@dataclass(frozen=True)
class VideoSettings:
    """How the video is made.

    Attributes:
        width, height: of the video in pixels, even numbers.
        fps: frames in a second.
        pace: how long panels are shown.
        captions: whether they are drawn into the picture.
        motion: whether the view moves.
    """

    width: int = 1280
    height: int = 720
    fps: int = 24
    pace: Pace = Pace()
    captions: bool = True
    motion: bool = True

    def __post_init__(self) -> None:
        for name, size in (("width", self.width), ("height", self.height)):
            if not 64 <= size <= 4096 or size % 2:
                raise SeedStoryError(
                    f"A video's {name} is an even number from 64 to 4096, got {size}."
                )
        if not 1 <= self.fps <= 120:
            raise SeedStoryError(f"A video has 1 to 120 frames a second, got {self.fps}.")


def write_video(
    story: Story,
    path: Path,
    settings: VideoSettings | None = None,
    fonts: Fonts | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Write an MP4, whole or not at all; panels without a picture are left out.

    Raises:
        SeedStoryError: no picture at all, PyAV missing, letters that no font has, or too long.
    """
    settings = settings or VideoSettings()
    scenes = Scenes(story, settings, fonts)
    av = need("av")
    with atomic_path(path) as part, av.open(str(part), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=settings.fps, options={"crf": "20"})
        stream.width, stream.height = settings.width, settings.height
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, settings.fps)
        for number, picture in enumerate(scenes.frames()):
            progress(number, scenes.count, "frames")
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    progress(scenes.count, scenes.count, path.name)
    return path


def filmed(story: Story) -> Story:
    """``story`` without the panels that have no picture: what a video shows.

    Raises:
        SeedStoryError: none has one.
    """
    painted = tuple(panel for panel in story.panels if panel.image is not None)
    if not painted:
        raise SeedStoryError("No panel has a picture yet, so there is nothing to film.")
    return replace(story, panels=painted)


class Scenes:
    """The frames of a video, one panel after the other."""

    def __init__(self, story: Story, settings: VideoSettings, fonts: Fonts | None = None) -> None:
        self.settings = settings
        painted = filmed(story).panels
        texts = [printable(panel.caption) for panel in painted]
        self.times = spans(texts, settings.pace)
        self.count = max(1, round(self.times[-1][1] * settings.fps))
        if self.times[-1][1] > MAX_SECONDS:
            raise SeedStoryError(
                f"The video would take {self.times[-1][1] / 3600:.1f} hours; at most "
                f"{MAX_SECONDS // 3600} are filmed. Film a part, or show panels for a shorter time."
            )
        self.pictures: list[Tensor] = [p.image for p in painted if p.image is not None]
        self.texts = texts if settings.captions else [""] * len(texts)
        self.faces = (fonts or Fonts()).choose("".join(self.texts) + "\u2026")
        # of the panels in view alone: a thousand of them would fill the memory
        self.stages: dict[int, Image.Image] = {}
        self.bands: dict[int, Image.Image] = {}

    def frames(self) -> Iterator[Image.Image]:
        """RGB pictures of the video's size, in order."""
        index = 0
        for number in range(self.count):
            at = number / self.settings.fps
            while at >= self.times[index][1]:
                self.stages.pop(index, None)
                self.bands.pop(index, None)
                index += 1
            picture = self._shown(index, at)
            left = self.times[index][1] - at
            if left < FADE and index + 1 < len(self.times):
                following = self._shown(index + 1, at)
                picture = Image.blend(following, picture, left / FADE)
            yield picture

    def _shown(self, index: int, at: float) -> Image.Image:
        """The view of one panel at a time in seconds, its caption on it."""
        start, end = self.times[index]
        share = min(1.0, max(0.0, (at - start + FADE) / (end - start + FADE)))
        eased = share * share * (3 - 2 * share)
        stage = self._stage(index)
        size = (self.settings.width, self.settings.height)
        picture = stage.resize(size, Image.Resampling.BILINEAR, box=self._view(index, eased, stage))
        if index not in self.bands:
            self.bands[index] = self._band(self.texts[index])
        band = self.bands[index]
        picture.paste(band, (0, size[1] - band.height), band)
        return picture

    def _stage(self, index: int) -> Image.Image:
        """The picture on a dark stage of the video's shape, large enough to zoom into."""
        if index not in self.stages:
            width, height = (round(side * ZOOM) for side in self._size())
            image = self.pictures[index]
            scale = min(width / image.shape[1], height / image.shape[0])
            size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
            stage = Image.new("RGB", (width, height), BACK)
            picture = resample(image, Rect(0, 0, 1, 1), size)
            stage.paste(picture, ((width - size[0]) // 2, (height - size[1]) // 2))
            self.stages[index] = stage
        return self.stages[index]

    def _size(self) -> tuple[int, int]:
        return self.settings.width, self.settings.height

    def _view(
        self, index: int, share: float, stage: Image.Image
    ) -> tuple[float, float, float, float]:
        """The part of the stage that is seen: left, top, right, bottom."""
        first, last = MOVES[index % len(MOVES)] if self.settings.motion else (MOVES[0][0],) * 2
        zoom, x, y = (a + (b - a) * share for a, b in zip(first, last, strict=True))
        width, height = stage.width / zoom, stage.height / zoom
        left, top = (stage.width - width) * x, (stage.height - height) * y
        return left, top, left + width, top + height

    def _band(self, text: str) -> Image.Image:
        """A caption in white on a dark band, as wide as the video; long ones are cut."""
        width, height = self._size()
        size = max(10.0, height / 24)
        setter = Setter(self.faces, size)
        text = setter.visible(text)
        if not text:
            return Image.new("RGBA", (1, 1))
        most = max(1, int(height * BAND / setter.height))
        lines = setter.wrap(text, width * 0.9, most)
        band = Image.new("RGBA", (width, round((len(lines) + 0.7) * setter.height)), "#14110fb8")
        draw = ImageDraw.Draw(band)
        for number, line in enumerate(lines):
            x = (width - setter.width(line)) / 2
            setter.draw(draw, x, setter.height * (number + 1.05), line, TEXT)
        return band
