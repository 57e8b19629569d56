"""The help texts beside the example graphs, by file name."""

from __future__ import annotations

WORLD = """
Put *Load Image* in the place of **World Opening** to begin with a picture of yours, and
write its sentence in **Start Story**. **World Opening** has nine more beginnings: change
its number, and wire its *text* to **Start Story**.

*Picture World* is small and comes with the pack: six friends in eight places, drawn by a
program in pixel art. It understands short, simple sentences about them
(*docs/WORLDS.md*). For another world choose it in **Load World**; where that changes an
SDXL base, replace **Load World Painter** by *Load Checkpoint* (SDXL base 1.0) and *Apply
De-tokenizer*, and give the sampler 50 steps, cfg 7.5 and the scheduler *normal*.
"""

NOTES = {
    "01-one-panel": """
A picture and a sentence begin the story; **Tell Panel** tells what comes next. Its
features become conditioning for the stock KSampler, and **Attach Image** puts the
picture into the story.

The story is kept in *output/seedstory/one-panel*, panel by panel.
""",
    "02-step-by-step": """
Three turns, one **Tell Panel** each: every caption is seen in its node before the
next one is told. Change a setting of the last turn and only that turn is told again.

Panel number i uses seed + i, so the same seed everywhere gives the story that
**Tell Story** tells at once.
""",
    "03-whole-story": """
First **Tell Story** tells all panels: text and features, no pictures. Then **Paint
Story** paints them all. So only one big model is in memory at a time, and the text can
be read before any picture is paid for.

Both keep every panel on disk the moment it is finished: interrupt, and **Load Story**
has what there is.
""",
    "04-loop-lora-controlnet": """
What lies between **Story Loop Open** and **Story Loop Close** runs once a turn: tell,
steer, sample, decode, attach. It is plain SDXL, so put in whatever you like. Each turn
is cached on its own: raise the count on Close and only the new turns run. (With a
preview node in the body, newer ComfyUI forgets the old turns unless it is started with
*--cache-classic*.)

Needs two files made for this world's painter, each by one command (*docs/STEERING.md*);
choose them in their loaders:
- a LoRA in *models/loras*,
- a ControlNet in *models/controlnet*, here for edges, read from the picture at the world's
  own 64 pixels.

Without them, take both loaders out and wire past them. Put *Load Image* in the place of
**World Opening** to begin with a picture of yours.

For a world that changes SDXL put *Load Checkpoint* (SDXL base 1.0) in the place of **Load
World Painter** and *Load ControlNet Model* in that of **Load World ControlNet**, choose
an SDXL LoRA and ControlNet, and wire the picture straight into *Canny*.

ComfyUI 0.36 and newer have loop nodes of their own; the same body works in them.
""",
    "05-given-captions": """
You write the captions, one a line; the model makes the features of each picture, in
view of the panels before. **Illustrate Caption** does the same for one caption. A name,
a place or a thing that the last sentences mentioned need not be said again.
""",
    "06-image-features-image": """
No story: a picture becomes features, and the painter paints from them. It shows what
the features keep of a picture (who, where, what is done; not where exactly), and is a
good first check of a world: with a trained one the result resembles the picture.
""",
    "07-storybook-page": """
**Story Page** lays a story out: pictures, wrapped captions, a font that has the letters
(Chinese, Japanese and Korean need one on the system or in *models/seedstory/fonts*).
**Panels** takes a story apart for other nodes.

To print a story that is on disk already, put **Load Story** in the place of everything
before it.
""",
    "08-long-story": """
A story of any length at the same cost a panel. **Sink Context** keeps the newest panels
in view, and of older ones the few places that draw the attention: the paper's multimodal
attention sink. Without it the world's own window of eight panels is used.

The sink is part of the story's meaning and is recorded in every panel, so wire the same
one when you go on with the story.
""",
}


def note(name: str) -> str:
    """The text for one graph; the loop says itself how to change the world."""
    own = NOTES[name].strip()
    return own if "ControlNet" in own else f"{own}\n\n{WORLD.strip()}"
