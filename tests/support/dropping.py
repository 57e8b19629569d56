"""Files dropped on a page as from the desktop."""

from __future__ import annotations

import base64

from .front_end import FrontEnd

KINDS = {"pdf": "application/pdf", "epub": "application/epub+zip", "html": "text/html"}
KINDS |= {"png": "image/png", "cbz": "application/vnd.comicbook+zip", "seedstory": ""}
#: Drops a file in the middle of the canvas, or on the node with the id: on what is seen there.
DROP = """([name, kind, text, id]) => {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name, { type: kind }));
    const view = app.canvas.canvas.getBoundingClientRect(), ds = app.canvas.ds;
    let [x, y] = [view.x + view.width / 2, view.y + view.height / 2];
    let target = app.canvas.canvas;
    if (id !== null) {
        const [left, top, width, height] = app.canvas.graph.getNodeById(id).getBounding();
        x = view.x + (left + width / 2 + ds.offset[0]) * ds.scale;
        y = view.y + (top + height / 2 + ds.offset[1]) * ds.scale;
        target = document.elementFromPoint(x, y) ?? target;
    }
    for (const type of ['dragenter', 'dragover', 'drop'])
        target.dispatchEvent(new DragEvent(type, { dataTransfer, clientX: x, clientY: y,
            bubbles: true, cancelable: true, composed: true }));
}"""


def drop(page: FrontEnd, name: str, data: bytes, node: int | str | None = None) -> None:
    """``node``: the id of one on the screen."""
    kind = KINDS.get(name.rsplit(".", 1)[-1], "text/plain")
    page.page.evaluate(DROP, [name, kind, base64.b64encode(data).decode(), node])
