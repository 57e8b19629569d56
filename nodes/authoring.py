"""Load Script, Read Script, character cards: captions by any author, looks that stay the same."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..seedstory_core.author import FORMATS, Card, cast, introduced, load_card, read_script
from ..seedstory_core.author.cards import MAX_STRENGTH, cards_in, save_card
from ..seedstory_core.author.casting import WHEN
from ..seedstory_core.author.scripts import AUTO, script_text
from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.images import to_float
from . import host
from .host.loras import find_lora
from .host.names import can_find
from .values import one_picture

CATEGORY = "SEED-Story/author"
CAST_TIP = "Folder names of character cards, with commas between; * for all. "


class LoadScript(io.ComfyNode):
    """A file -> its text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = host.script_choices()
        return host.schema(
            node_id="SeedStory_LoadScript",
            display_name="Load Script",
            category=CATEGORY,
            description="Loads a story's script from ComfyUI's input folder: captions one a line "
            "(.txt), under headings (.md), or as JSON (.json). Read Script makes captions of it.",
            search_aliases=["text file", "screenplay", "captions file"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=files,
                    default=files[0],
                    tooltip="A file in input or input/seedstory.",
                )
            ],
            outputs=[io.String.Output(display_name="text", tooltip="What is in the file.")],
        )

    @classmethod
    def validate_inputs(cls, file: str | None) -> bool | str:
        """Any system's separators, and what was added since the list was made."""
        return can_find(host.script_file, file)

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        """Read again whenever the file has changed."""
        try:
            state = host.script_file(file).stat()
        except SeedStoryError:
            return "none"
        return f"{file}:{state.st_mtime_ns}:{state.st_size}"

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(script_text(host.script_file(file)))


class ReadScript(io.ComfyNode):
    """A script's text -> captions, and the opening's."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_ReadScript",
            display_name="Read Script",
            category=CATEGORY,
            description="Makes captions of a script, or of what another language model wrote, and "
            "puts characters' looks into them. Connect them to Tell Story, which illustrates them "
            "word for word.",
            search_aliases=["parse script", "llm captions", "verbatim"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    default="Mila is in the meadow.\nMila finds a kite.\nThe kite flies away.",
                    tooltip="The script: typed in, from Load Script, or from any text node.",
                ),
                io.Combo.Input(
                    "format",
                    options=[AUTO, *FORMATS],
                    default=AUTO,
                    tooltip="lines: one caption a line. list: the same with a dash or number "
                    "before each. markdown: a heading for each panel, its caption below. json: "
                    "a list, or an object with panels. auto: what it looks like.",
                ),
                io.Boolean.Input(
                    "first_is_opening",
                    default=False,
                    tooltip="On: the first caption is the opening's, for Start Story, and not "
                    "among the captions.",
                ),
                io.String.Input(
                    "characters",
                    default="",
                    tooltip=CAST_TIP + "Their looks follow their names in the captions.",
                ),
                io.Combo.Input(
                    "looks",
                    options=list(WHEN),
                    default=WHEN[0],
                    tooltip="Whether looks are said where a character first comes, or in every "
                    "panel it is in.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="captions", tooltip="One a line, for Tell Story."),
                io.String.Output(display_name="opening", tooltip="The first caption."),
                io.String.Output(display_name="title", tooltip="The script's title, or nothing."),
                io.Int.Output(display_name="count", tooltip="Number of captions."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, characters: str = "", **_others: Any) -> str:
        """Read again whenever a card has changed."""
        return host.cards_state() if characters.strip() else ""

    @classmethod
    def execute(
        cls, text: str, format: str, first_is_opening: bool, characters: str, looks: str
    ) -> io.NodeOutput:
        script = read_script(text, format)
        cards = cast(host.characters_folder(), characters)
        captions = introduced(script.captions, cards, looks)
        rest = captions[1:] if first_is_opening else captions
        if not rest:
            raise SeedStoryError(
                "The script has only the opening's caption. Add one for each panel behind it."
            )
        lines = "\n".join(rest)
        return io.NodeOutput(lines, captions[0], script.title, len(rest), ui=host.text_ui(*rest))


class SaveCharacter(io.ComfyNode):
    """Name, looks, picture and LoRA -> a card in the library."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_SaveCharacter",
            display_name="Save Character",
            category=CATEGORY,
            description="Keeps a character as a card in user/seedstory/characters: its name, how "
            "it looks in words, a picture, and if wanted the LoRA that draws it.",
            search_aliases=["character card", "cast", "character sheet"],
            is_output_node=True,
            inputs=[
                io.String.Input("name", default="Mila", tooltip="As captions say it."),
                io.String.Input(
                    "phrase",
                    multiline=True,
                    default="a girl with a red scarf",
                    tooltip="The looks in a few words; they follow the name in captions.",
                ),
                io.Combo.Input(
                    "lora",
                    options=host.lora_choices(),
                    default=host.NO_LORA,
                    tooltip="A LoRA that draws this character, for Character LoRAs.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-MAX_STRENGTH,
                    max=MAX_STRENGTH,
                    step=0.05,
                    round=0.01,
                    tooltip="Strength of the LoRA.",
                ),
                io.Boolean.Input(
                    "replace",
                    default=False,
                    tooltip="On: a card of this name that says something else is replaced. Off: "
                    "that is an error.",
                ),
                io.Image.Input("image", optional=True, tooltip="A picture of the character."),
            ],
            outputs=[
                io.String.Output(
                    display_name="card", tooltip="Name of the card, for 'characters' inputs."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, lora: str | None) -> bool | str:
        """Any system's separators."""
        return lora == host.NO_LORA or can_find(find_lora, lora)

    @classmethod
    def execute(
        cls,
        name: str,
        phrase: str,
        lora: str,
        strength: float,
        replace: bool,
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        picture = None if image is None else one_picture(image)
        card = Card(name, phrase, picture, "" if lora == host.NO_LORA else lora, strength)
        folder = save_card(host.characters_folder(), card, replace)
        return io.NodeOutput(folder.name, ui=host.text_ui(f"{card.name}, {card.phrase}"))


class LoadCharacter(io.ComfyNode):
    """A card -> name, looks and picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        cards = host.card_choices()
        return host.schema(
            node_id="SeedStory_LoadCharacter",
            display_name="Load Character",
            category=CATEGORY,
            description="Loads a character card from user/seedstory/characters.",
            search_aliases=["character card", "cast"],
            inputs=[
                io.Combo.Input(
                    "card", options=cards, default=cards[0], tooltip="Folder name of the card."
                )
            ],
            outputs=[
                io.String.Output(
                    display_name="card", tooltip="Name of the card, for 'characters' inputs."
                ),
                io.String.Output(display_name="name", tooltip="As captions say it."),
                io.String.Output(display_name="phrase", tooltip="How the character looks."),
                io.Image.Output(
                    display_name="image",
                    tooltip="Its picture. Nothing behind this runs where the card has none.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, card: str) -> str:
        """Load again whenever a card has changed."""
        return host.cards_state()

    @classmethod
    def execute(cls, card: str) -> io.NodeOutput:
        found = cards_in(host.characters_folder())
        if card not in found:
            raise SeedStoryError(f"There is no character card {card!r}. Save one first.")
        loaded = load_card(found[card])
        image = host.nothing() if loaded.picture is None else to_float([loaded.picture])
        return io.NodeOutput(card, loaded.name, loaded.phrase, image)


class CharacterLoras(io.ComfyNode):
    """A MODEL with the LoRAs of characters."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_CharacterLoras",
            display_name="Character LoRAs",
            category=CATEGORY,
            description="Lays the LoRAs of characters' cards on a model, so that they look the "
            "same in every picture. Cards without one change nothing.",
            search_aliases=["character lora", "consistent character"],
            inputs=[
                io.Model.Input("model", tooltip="From Apply De-tokenizer or any model loader."),
                io.String.Input("characters", default="*", tooltip=CAST_TIP + "Who is drawn."),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The model with the LoRAs.")],
        )

    @classmethod
    def fingerprint_inputs(cls, characters: str = "", **_others: Any) -> str:
        """Lay them on again whenever a card has changed."""
        return host.cards_state()

    @classmethod
    def execute(cls, model: Any, characters: str) -> io.NodeOutput:
        said = []
        for card in cast(host.characters_folder(), characters):
            if card.lora:
                model, note = host.with_lora(model, card.lora, card.strength)
                said += [f"{card.name}: {note}"] if note else []
        return io.NodeOutput(model, ui=host.text_ui(*said))


NODES: tuple[type[io.ComfyNode], ...] = (
    LoadScript,
    ReadScript,
    SaveCharacter,
    LoadCharacter,
    CharacterLoras,
)
