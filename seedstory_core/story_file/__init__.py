"""The story file: a story folder as one zip (``.seedstory``), and the files that carry one inside.

`pack` writes, `archive` opens with bounds, `unpack` reads, `carriers` finds a story in a PNG, PDF,
EPUB or HTML, `check` says what is wrong with one. docs/STORY_FILE.md describes the format,
``story.schema.json`` its manifest.
"""

from .archive import ATTACHMENT, MEDIA_TYPE, SUFFIX
from .carriers import (
    MAX_CARRIED,
    embed_in_png,
    open_any,
    read_carried,
    read_embedded,
    read_png_text,
)
from .check import Report, check_story, schema
from .pack import pack_folder, pack_story, save_story_file
from .unpack import open_story_bytes, open_story_file, unpack_story_file
from .workflow import with_workflow, workflow_of

__all__ = [
    "ATTACHMENT",
    "MAX_CARRIED",
    "MEDIA_TYPE",
    "SUFFIX",
    "Report",
    "check_story",
    "embed_in_png",
    "open_any",
    "open_story_bytes",
    "open_story_file",
    "pack_folder",
    "pack_story",
    "read_carried",
    "read_embedded",
    "read_png_text",
    "save_story_file",
    "schema",
    "unpack_story_file",
    "with_workflow",
    "workflow_of",
]
