"""Subtitles and the preview video, read back by FFmpeg (PyAV)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.press.formats import press
from seedstory_core.press.subtitles import cues, srt, vtt
from seedstory_core.press.timing import Pace, spans
from seedstory_core.press.video import Scenes, VideoSettings, write_video
from seedstory_core.types import Story

Make = Callable[..., Story]
LONG = "The small fox walked along the river until the rain began to fall on the meadow. " * 6
QUICK = Pace(letters=100, shortest=0.5, pause=0)


def test_long_captions_are_shown_longer() -> None:
    pace = Pace(letters=10, shortest=2, longest=8, pause=1)
    assert [pace.seconds(text) for text in ("", "x" * 30, "x" * 500)] == [2, 4, 8]
    assert pace.seconds("\u72d0" * 15) == pace.seconds("x" * 30)
    times = spans(["a", "b" * 30, ""], pace)
    assert times == [(0, 2), (2, 6), (6, 8)]
    for wrong in ({"letters": 0}, {"shortest": 9, "longest": 3}, {"pause": -1}):
        with pytest.raises(SeedStoryError):
            Pace(**wrong)


def test_cues_hold_every_word_in_two_short_lines(make: Make) -> None:
    found = cues(make("One.", LONG, "", "x" * 200))
    assert all(len(line) <= 42 for cue in found for line in cue.lines)
    assert all(1 <= len(cue.lines) <= 2 and cue.end > cue.start for cue in found)
    said = " ".join(line for cue in found if cue.panel == 1 for line in cue.lines)
    assert said == LONG.strip()
    assert all(a.end <= b.start + 1e-6 for a, b in zip(found, found[1:], strict=False))
    assert {cue.panel for cue in found} == {0, 1, 3}
    ends = {cue.panel: cue.end for cue in found}
    assert ends[1] == pytest.approx(spans(["One.", LONG.strip()])[1][1], abs=0.002)


def test_subtitles_are_well_formed(make: Make, tmp_path: Path) -> None:
    nasty = "a --> b <b>x</b> & {\\an8}\n\n2\n00:00:00,000 --> 00:00:09,000\nfake\x00"
    story = make("One.", nasty)
    for ending, mark in ((".srt", ","), (".vtt", ".")):
        text = press(story, tmp_path / f"s{ending}").read_text(encoding="utf-8")
        blocks = [b for b in re.split(r"\n\n+", text.strip()) if b != "WEBVTT"]
        for number, block in enumerate(blocks, start=1):
            head, times, *lines = block.split("\n")
            assert head == str(number) and 1 <= len(lines) <= 2
            stamp = rf"\d\d:\d\d:\d\d{re.escape(mark)}\d{{3}}"
            assert re.fullmatch(rf"{stamp} --> {stamp}", times)
            assert "-->" not in "".join(lines) and "<" not in "".join(lines)
    assert vtt(cues(story)).startswith("WEBVTT\n\n1\n00:00:00.000 --> ")
    assert "{" not in srt(cues(story))


def test_the_video_plays(make: Make, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="not found: av (pip install av)")
    story = make("One.", "Two.", "Three.", blank=(1,))
    settings = VideoSettings(96, 64, 8, QUICK, captions=False)
    path = write_video(story, tmp_path / "v.mp4", settings)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 96, 64)
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        assert stream.average_rate == 8 and not file.streams.audio
    assert len(frames) == Scenes(story, settings).count == 8  # two panels of half a second
    assert not list(tmp_path.glob(".*"))
    expected = [np.asarray(frame, float) for frame in Scenes(story, settings).frames()]
    errors = [np.abs(a - b).mean() for a, b in zip(frames, expected, strict=True)]
    assert max(errors) < 25, errors


def test_a_long_film_keeps_the_panels_in_view_alone(make: Make) -> None:
    pace = Pace(letters=200, shortest=0.5, pause=0)
    scenes = Scenes(make(*["A caption."] * 40), VideoSettings(64, 64, 4, pace))
    for _ in scenes.frames():
        assert len(scenes.stages) <= 2 and len(scenes.bands) <= 2


def test_pixel_art_stays_sharp(make: Make) -> None:
    settings = VideoSettings(160, 160, 2, QUICK, captions=False, motion=False)
    frame = np.asarray(next(iter(Scenes(make("a"), settings).frames())))
    own = make("a").panels[0].image
    assert own is not None
    middles = (np.arange(24) * 160 // 24) + 3  # a pixel of 24 is 6.7 pixels wide here
    assert np.abs(frame[middles][:, middles].astype(int) - own.numpy().astype(int)).mean() < 2


def test_the_view_moves_and_fades(make: Make) -> None:
    story = make("One.", "Two.")
    pace = Pace(letters=100, shortest=2, pause=0)
    moving = [np.asarray(f, float) for f in Scenes(story, VideoSettings(64, 64, 4, pace)).frames()]
    still = VideoSettings(64, 64, 4, pace, captions=False, motion=False)
    stills = [np.asarray(frame, float) for frame in Scenes(story, still).frames()]
    assert np.abs(moving[0] - moving[4]).mean() > 1
    assert np.array_equal(stills[0], stills[4])
    between = stills[7]  # a quarter second before the cut
    assert np.abs(between - (stills[0] + stills[-1]) / 2).mean() < 2


def test_captions_are_drawn_at_the_foot(make: Make) -> None:
    settings = VideoSettings(160, 96, 2, QUICK, motion=False)
    with_text = next(iter(Scenes(make(LONG), settings).frames()))
    bare = VideoSettings(160, 96, 2, QUICK, captions=False, motion=False)
    without = next(iter(Scenes(make(LONG), bare).frames()))
    rows = np.abs(np.asarray(with_text, float) - np.asarray(without, float)).mean((1, 2))
    assert rows[:60].max() == 0 and rows[80:].min() > 1


@pytest.mark.parametrize(
    "wrong", [{"width": 63}, {"height": 101}, {"fps": 0}, {"width": 9000}], ids=str
)
def test_videos_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(SeedStoryError):
        VideoSettings(**wrong)  # type: ignore[arg-type]


def test_nothing_to_film(make: Make, tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="No panel has a picture"):
        write_video(make("a", blank=(0,)), tmp_path / "v.mp4")
    with pytest.raises(SeedStoryError, match="hours"):
        Scenes(make(*["x"] * 50), VideoSettings(pace=Pace(shortest=600, longest=600)))
    assert not list(tmp_path.iterdir())


def test_a_cancelled_video_leaves_nothing(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="not found: av (pip install av)")

    class Stop(Exception):
        pass

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        write_video(make("a"), tmp_path / "v.mp4", VideoSettings(64, 64, 4), progress=stop)
    assert not list(tmp_path.iterdir())
