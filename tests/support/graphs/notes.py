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
attention sink. Without it the world's own window of eight panels is used. Places of 4
older panels (*cap*) told Picture World's stories better than of 16.

The sink is part of the story's meaning and is recorded in every panel, so wire the same
one when you go on with the story.
""",
    "09-two-futures": """
**Tell Story** tells what both futures share; **Tell Futures** tells on from there twice,
in one batch, with a seed of its own for each. All nodes behind run once for each story,
so there are two pages at the end.

Each future is a story of its own in *output/seedstory/two-futures-future-1* and *-2*:
**Load Story** has them, and any node can go on with one. Write captions into **Tell
Futures**, one a line, and each begins a future.
""",
    "10-faster-painting": """
The whole story again, painted with half the steps: by a solver that looks back one step
(*dpmpp_2m*), with guidance for the first half of them only (**Guidance Until**), and
panels in one batch (*at_once* 0). Change one of the three at a time to see what it does.

*docs/PAINTING.md* says how to measure it on this world; nothing was measured on SDXL.
There, begin with 25 steps and *until* 0.7, and compare.
""",
    "11-few-step-lora": """
A LoRA that was trained to paint in four steps, as LCM, Hyper or Lightning LoRAs are for
SDXL: sampler *lcm*, scheduler *sgm_uniform*, cfg 1. Take the steps and the strength from
what its maker says.

Not measured: there is no such LoRA for this world, and nobody has said what those for
SDXL do with features in the place of a prompt. Put the file into *models/loras* and
choose it in the loader; for a world that changes SDXL put *Load Checkpoint* (SDXL base
1.0) and **Apply De-tokenizer** before the LoRA.
""",
    "12-edit-and-reroll": """
**Edit Caption** gives panel 2 another caption and the features to it; **Re-roll Panel**
tells panel 4 anew with another seed. All other panels stay as they are, to the bit, and
the second **Paint Story** paints only the two that have no picture. The story as it was
first told stays on disk in its own folder.

To change a story that is on disk already, put **Load Story** in the place of everything
before **Edit Caption**. *docs/EDITING.md* has the other operations.
""",
    "13-any-author": """
**Read Script** makes captions of a script: here Markdown with a heading for each panel;
captions one a line, lists and JSON do as well. Type it in, take it from a file with **Load
Script**, or wire another language model's text node to *text*. The first caption is the
opening's; **Tell Story** illustrates the others word for word.

Write the names of character cards into *characters*, and their looks follow their names
(*docs/EDITING.md*).
""",
    "14-print-a-book": """
Press Run once: six panels are told and painted, panel 3 gets another caption and a picture
to it, and the book is printed. Then write your own caption into **Edit Caption** and press
Run again: one panel is told and painted, all others stay as they are, to the bit.

The book lies in *output/seedstory-books*: a PDF, and a page for phone and computer; switch on
*epub*, *cbz* or *png* for more. Each carries the whole story: put one into **Load Story File**
and it opens again. **Book Settings** has templates, paper, balloons and bleed
(*docs/PRESS.md*).

To change a story that is on disk already, put **Load Story** in the place of everything
before **Edit Caption**.
""",
    "15-story-view": """
**Story View** shows the story while it is told and painted. Click a picture to enlarge it.
Under each panel, *Go on* makes the next run tell on from there, *Re-roll* tells that panel
anew; what will happen stands above, and *Take back* undoes the pick. Choose another seed in
**Tell Panel**, press Run, and the view shows both ways as branches of one tree.

Branches that are on disk already can be wired to *stories* from **Load Story**
(*docs/STORY_VIEW.md*).
""",
}


def note(name: str) -> str:
    """The text for one graph; the loop says itself how to change the world."""
    own = NOTES[name].strip()
    return own if "ControlNet" in own else f"{own}\n\n{WORLD.strip()}"
