"""Book Settings, Press Book, Book Pages, Story Video: a story as a book, and as a film."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io

from ..seedstory_core.book.letters import printable
from ..seedstory_core.images import to_float
from ..seedstory_core.press.extras import need
from ..seedstory_core.press.settings import BookSettings
from ..seedstory_core.press.subtitles import cues, srt
from ..seedstory_core.press.timing import Pace, spans
from ..seedstory_core.press.video import VideoSettings, filmed
from ..seedstory_core.types import Story
from . import host, types
from .early import STORY, late_story

CATEGORY = "SEED-Story/book"
FORMATS = ("pdf", "html", "epub", "cbz", "png")


class MakeBookSettings(io.ComfyNode):
    """How a book looks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_BookSettings",
            display_name="Book Settings",
            category=CATEGORY,
            description="How a story becomes a book: page template, paper, title page, page "
            "numbers, speech balloons, and bleed for print.",
            search_aliases=["page layout", "comic template", "speech balloon", "manga", "print"],
            inputs=[
                io.Combo.Input(
                    "template",
                    options=host.template_names(),
                    default=host.template_names()[0],
                    tooltip="How panels lie on pages. manga is read from right to left; picture "
                    "book has the text on the facing page.",
                ),
                io.Combo.Input(
                    "trim",
                    options=host.trim_names(),
                    default=host.trim_names()[0],
                    tooltip="Size of the page after trimming. (template): the size it is made for.",
                ),
                io.Float.Input(
                    "bleed",
                    default=0.0,
                    min=0.0,
                    max=25.0,
                    step=0.5,
                    tooltip="Millimetres that pictures go on beyond the trim; printers want 3. "
                    "0: for the screen.",
                ),
                io.Int.Input(
                    "dpi",
                    default=150,
                    min=30,
                    max=1200,
                    tooltip="Pixels per inch of page pictures (IMAGE, PNG, CBZ). Print: 300.",
                ),
                io.String.Input(
                    "title", default="", tooltip="On the title page. Empty: the story's name."
                ),
                io.String.Input("author", default="", tooltip="Under the title; may be empty."),
                io.Boolean.Input(
                    "title_page", default=True, tooltip="Begin with a page for the title."
                ),
                io.Boolean.Input(
                    "page_numbers", default=True, tooltip="Number the pages at their foot."
                ),
                io.Boolean.Input(
                    "quotes",
                    default=False,
                    tooltip="Put quoted speech of the captions into balloons, and words like BANG! "
                    "on the pictures.",
                ),
                io.Combo.Input(
                    "font",
                    options=host.font_names(),
                    default=host.font_names()[0],
                    tooltip="Automatic takes the first font that has all letters. Own fonts go to "
                    "models/seedstory/fonts.",
                ),
                io.String.Input(
                    "own_template",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip='A template of your own as JSON; wins over template. Like {"pages": '
                    '[["aab", "ccb"]], "caption": "below"}.',
                ),
                io.String.Input(
                    "balloons",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip='Balloons placed by hand, a JSON list like [{"panel": 2, "text": '
                    '"Hello!", "at": [0.3, 0.15], "tail": [0.4, 0.6]}].',
                ),
                io.String.Input(
                    "own_trim",
                    default="",
                    optional=True,
                    tooltip="A trim size of your own, like 148 x 210 mm or 6 x 9 in; wins over "
                    "trim.",
                ),
            ],
            outputs=[
                types.Book.Output(
                    display_name="book", tooltip="For Press Book and Book Pages; frozen."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        template: str,
        trim: str,
        font: str,
        own_template: str = "",
        balloons: str = "",
        own_trim: str = "",
        **looks: bool | float | int | str,
    ) -> io.NodeOutput:
        chosen = own_template.strip() or template
        size = own_trim.strip() or trim
        return io.NodeOutput(host.book_settings(chosen, size, font, balloons, **looks))


class PressBook(io.ComfyNode):
    """A story -> a book in the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_PressBook",
            display_name="Press Book",
            category=CATEGORY,
            description="Writes the story as a book into output/seedstory-books: PDF for print, "
            "EPUB, an HTML page to read and send, CBZ, page pictures, subtitles.",
            search_aliases=["save pdf", "save epub", "export comic", "cbz", "html reader", "srt"],
            is_output_node=True,
            inputs=[
                late_story("Any story; pictures may still be missing."),
                io.String.Input(
                    "name",
                    default="book",
                    tooltip="Name of the files. Each run has a new folder; none is overwritten.",
                ),
                io.Boolean.Input(
                    "pdf", default=True, tooltip="Vector text, embedded fonts, boxes for printers."
                ),
                io.Boolean.Input(
                    "html", default=True, tooltip="One file to read on a phone or computer."
                ),
                io.Boolean.Input(
                    "epub", default=False, tooltip="EPUB 3, fixed layout, with alternative text."
                ),
                io.Boolean.Input("cbz", default=False, tooltip="For comic readers."),
                io.Boolean.Input("png", default=False, tooltip="Every page as a picture."),
                io.Boolean.Input(
                    "subtitles", default=False, tooltip="Captions with times, as SRT and VTT."
                ),
                io.Boolean.Input(
                    "carry_story",
                    default=True,
                    tooltip="Put the story file inside, so that the book opens as a story again.",
                ),
                types.Book.Input(
                    "book", optional=True, tooltip="From Book Settings. Without: one panel a page."
                ),
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The same story."),
                io.String.Output(
                    display_name="files", tooltip="Paths in the output folder, one a line."
                ),
            ],
        )

    @classmethod
    def check_lazy_status(cls, **inputs: Any) -> list[str]:
        host.check_endings(endings_of(inputs))
        return STORY

    @classmethod
    def execute(
        cls,
        story: Story,
        name: str,
        carry_story: bool,
        book: BookSettings | None = None,
        **formats: bool,
    ) -> io.NodeOutput:
        endings = endings_of(formats)
        files = "\n".join(host.pressed(story, book, name, endings, carry_story))
        missing = host.left_out(story, book) if any(formats[kind] for kind in FORMATS) else []
        return io.NodeOutput(story, files, ui=host.text_ui(files, *missing))


def endings_of(formats: Mapping[str, Any]) -> list[str]:
    """Endings of the files that are switched on."""
    wanted = [f".{kind}" for kind in FORMATS if formats[kind]]
    return wanted + ([".srt", ".vtt"] if formats["subtitles"] else [])


class BookPages(io.ComfyNode):
    """A story -> the pages of its book as pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_BookPages",
            display_name="Book Pages",
            category=CATEGORY,
            description="Lays the story out as Press Book does and gives its pages as pictures.",
            search_aliases=["comic page", "story pages", "contact sheet"],
            inputs=[
                late_story("Any story; pictures may still be missing."),
                types.Book.Input(
                    "book", optional=True, tooltip="From Book Settings. Without: one panel a page."
                ),
            ],
            outputs=[io.Image.Output(display_name="pages", tooltip="All pages, as one batch.")],
        )

    @classmethod
    def check_lazy_status(cls, **_others: Any) -> list[str]:
        """The story after the settings, so that what is wrong with those is said first."""
        return STORY

    @classmethod
    def execute(cls, story: Story, book: BookSettings | None = None) -> io.NodeOutput:
        pages = to_float(host.page_batch(story, book))
        return io.NodeOutput(pages, ui=host.text_ui(*host.left_out(story, book)))


class StoryVideo(io.ComfyNode):
    """A story -> a silent video with pans and zooms, and its timed captions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_StoryVideo",
            display_name="Story Video",
            category=CATEGORY,
            description="Films the story's pictures with slow pans, zooms and cross-fades, each as "
            "long as its caption takes to read. Captions and times come along for speech nodes.",
            search_aliases=["animatic", "ken burns", "slideshow", "subtitles", "tts"],
            inputs=[
                late_story("Panels without a picture are left out."),
                io.Int.Input(
                    "width", default=1280, min=64, max=4096, step=2, tooltip="Of the video."
                ),
                io.Int.Input(
                    "height", default=720, min=64, max=4096, step=2, tooltip="Of the video."
                ),
                io.Int.Input("fps", default=24, min=1, max=120, tooltip="Frames a second."),
                io.Float.Input(
                    "letters_per_second",
                    default=17.0,
                    min=1.0,
                    max=200.0,
                    step=0.5,
                    tooltip="Reading speed: longer captions are shown longer. Speech takes about "
                    "14.",
                ),
                io.Boolean.Input(
                    "captions", default=True, tooltip="Draw the captions into the video."
                ),
                io.Boolean.Input("motion", default=True, tooltip="Pan and zoom; else stills."),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="H.264, silent."),
                io.String.Output(display_name="subtitles", tooltip="The captions as SRT text."),
                io.String.Output(
                    display_name="caption_list",
                    is_output_list=True,
                    tooltip="The caption of each filmed panel, for speech nodes.",
                ),
                io.Float.Output(
                    display_name="seconds",
                    is_output_list=True,
                    tooltip="How long each filmed panel is shown.",
                ),
            ],
        )

    @classmethod
    def check_lazy_status(cls, width: int, height: int, fps: int, **_others: Any) -> list[str]:
        VideoSettings(width, height, fps)
        need("av")
        return STORY

    @classmethod
    def execute(
        cls,
        story: Story,
        width: int,
        height: int,
        fps: int,
        letters_per_second: float,
        captions: bool,
        motion: bool,
    ) -> io.NodeOutput:
        pace = Pace(letters=letters_per_second)
        video = VideoSettings(width, height, fps, pace, captions, motion)
        film = host.story_video(story, video)
        shown = filmed(story)
        texts = [panel.caption for panel in shown.panels]
        seconds = [round(end - start, 3) for start, end in spans(map(printable, texts), pace)]
        missing = host.text_ui(*(host.left_out(shown) if captions else []))
        return io.NodeOutput(film, srt(cues(shown, pace)), texts, seconds, ui=missing)


NODES: tuple[type[io.ComfyNode], ...] = (MakeBookSettings, PressBook, BookPages, StoryVideo)
