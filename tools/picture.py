"""The picture of the README: the first figure of lesson 00, as its notebook holds it. `python -m tools.picture` writes it."""

import base64
from pathlib import Path

from nbformat.v4 import reads

ROOT = Path(__file__).resolve().parent.parent
LESSON, PICTURE = "lessons/00_start_here.ipynb", "docs/regimes.png"


def first_figure(notebook: Path) -> bytes:
    """The bytes of the first PNG among the outputs of a notebook."""
    cells = reads(notebook.read_bytes()).cells
    images = (o.data["image/png"] for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {}))
    return base64.b64decode(next(images))


if __name__ == "__main__":
    (ROOT / PICTURE).write_bytes(first_figure(ROOT / LESSON))
