"""A widget on a page: the panel of the notebooks over pictures that were made before."""

import ast
import json
import re
import shutil
from html import escape
from math import prod
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_output

from regimes_course.kit import panel
from tools.site.frames import Frames
from tools.site.grid import count, moving, words
from tools.site.pictures import linked

SCRIPT = Path(__file__).with_name("explorer.js")
EXPORT = "export default { render };"


def shown(code: str) -> str | None:
    """The name of the widget that a cell shows: "edge" for ``edge.show()``."""
    last = ast.parse(code).body[-1]
    match last:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(name), "show"), [], [])):
            return name
    return None


def settle(node: NotebookNode, frames: dict[str, Frames], up: str) -> None:
    """Put an explorer in the place of what the widgets of a notebook have stored."""
    for cell in node.cells:
        if "widget" in cell.metadata.get("tags", []):
            html = markup(frames[shown(cell.source)], f"{up}_static/explorers/")
            cell.outputs = [new_output("display_data", {"text/html": html})]


def markup(frames: Frames, root: str) -> str:
    """The HTML of an explorer: the picture where the sliders start, its sentence, and for the script all that moves."""
    data = contents(frames, f"{root}{frames.name}/")
    start = frames.sentences[_place(frames)]
    alt = escape(re.sub(r"<[^>]+>|\*\*", "", start))
    width, height = frames.widget.size
    picture = linked(alt, f"{data['folder']}{_place(frames)}.webp", (round(100 * width), round(100 * height)))
    packed = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    return f"""\
<div class="explorer">
<script type="application/json">{packed}</script>
{picture}
<noscript><p>{start}</p></noscript>
<p class="explorer-note">{note(frames)}</p>
</div>"""


def contents(frames: Frames, folder: str) -> dict:
    """What the script of the page knows of an explorer: the panel's sliders, the pictures and the sentences."""
    choices, names = frames.widget.choices, moving(frames.values)
    return {
        "choices": [{"name": n, "label": choices[n].label, "words": words(choices[n], frames.values[n])} for n in names],
        "columns": frames.widget.columns,
        "start": {name: frames.values[name].index(choices[name].start) for name in names},
        "folder": folder,
        "sentences": frames.sentences,
    }


def note(frames: Frames) -> str:
    """What the page has of the widget, and what it has not."""
    choices, here = frames.widget.choices, count(frames.values)
    everywhere = prod(len(choice.values) for choice in choices.values())
    if here == everywhere:
        return f"All {here} positions of the sliders, computed beforehand."
    held = [(choice, frames.values[name][0]) for name, choice in choices.items() if len(frames.values[name]) == 1]
    fixed = "; ".join(f"{choice.label}: {choice.shown(value)}" for choice, value in held)
    says = f"{here} of the {everywhere:,} positions, computed beforehand; in JupyterLab the sliders have all of them."
    return f"{says} Held here: {escape(fixed)}." if fixed else says


def write(frames: dict[str, Frames], static: Path) -> None:
    """Put the pictures of all explorers, their script and their style into the folder ``_static`` of the book."""
    for one in frames.values():
        shutil.copytree(one.folder, static / "explorers" / one.name, ignore=shutil.ignore_patterns("*.json"))
    (static / "explorer.js").write_text(script(), "utf-8")
    shutil.copy(Path(panel.__file__).with_name("panel.css"), static)


def script() -> str:
    """The script of the pages: the panel as it is in notebooks, and what answers it here.

    One classic script: a page that is opened as a file may load no modules.
    """
    here = Path(panel.__file__).parent
    front = (here / "panel.js").read_text("utf-8")
    if EXPORT not in front:
        raise ValueError(f"panel.js no longer ends in {EXPORT!r}")
    return f"(() => {{\n{front.replace(EXPORT, '')}\n{SCRIPT.read_text('utf-8')}\n}})();\n"


def _place(frames: Frames) -> int:
    """The number of the position at which the sliders start."""
    place = 0
    for name, offered in frames.values.items():
        place = place * len(offered) + offered.index(frames.widget.choices[name].start)
    return place
