"""What reading a lesson costs: words, formulas, code, pictures, and the minutes that follow from them."""

import re
from dataclasses import dataclass

from nbformat import NotebookNode

from tools.rules import code_lines

FENCE = re.compile(r"```.*?```", re.S)
DISPLAYED = re.compile(r"\$\$.*?\$\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.S)
INLINE = re.compile(r"(?<![\\$])\$(?!\$)[^$\n]+?\$")
FOLDED = re.compile(r"<details.*?</details>", re.S)
PLUMBING = re.compile(
    r"^\s*(import |from |#)|\b(show|guess|evidence|hero|progress|print)\(|\w+\.(show|film|filmstrip)\(|= \.\.\.$|^\s*[)\]}]+,?$"
)


@dataclass(frozen=True)
class Cost:
    """What a notebook asks of its reader."""

    cells: int
    words: int
    inline: int
    displayed: int
    lines: int
    ideas: int
    before: int
    pictures: int
    loglog: int
    widgets: int
    predictions: int

    @property
    def minutes(self) -> float:
        """110 words a minute; 10 s an inline formula, 60 s a displayed one, 6 s a line of code; 1 min a picture or a
        prediction; 6 min a widget."""
        seconds = 10 * self.inline + 60 * (self.displayed + self.pictures + self.predictions) + 6 * self.lines
        return self.words / 110 + seconds / 60 + 6 * self.widgets


def cost(notebook: NotebookNode) -> Cost:
    """The cost of an executed notebook; what is folded away costs nothing, nor does the setup cell."""
    cells = [cell for cell in notebook.cells if "setup" not in cell.metadata.get("tags", [])]
    code = [cell for cell in cells if cell.cell_type == "code"]
    texts = [FOLDED.sub(" ", FENCE.sub(" ", cell.source)) for cell in cells if cell.cell_type == "markdown"]
    text = "\n\n".join(texts)
    shown = [output for cell in code for output in cell.get("outputs", []) if _is_picture(output)]
    first = next((i for i, cell in enumerate(cells) if any(map(_is_picture, cell.get("outputs", [])))), len(cells))
    lines = [line for cell in code for line in cell.source.split("\n") if line.strip()]
    return Cost(
        cells=len(cells),
        words=_words(text),
        inline=len(INLINE.findall(DISPLAYED.sub(" ", text))),
        displayed=sum(1 for _ in DISPLAYED.finditer(text)),
        lines=sum(code_lines(cell.source) for cell in code),
        ideas=sum(not PLUMBING.search(line) for line in lines),
        before=sum(_words(FOLDED.sub(" ", cell.source)) for cell in cells[:first] if cell.cell_type == "markdown"),
        pictures=len(shown),
        loglog=sum(output.metadata.get("loglog", 0) for output in shown),
        widgets=sum("widget" in cell.metadata.get("tags", []) for cell in code),
        predictions=sum("= ..." in cell.source for cell in code),
    )


def _words(text: str) -> int:
    """Words of prose: a formula is counted as a formula."""
    return len(re.findall(r"[^\s|*#`$-]\S*", INLINE.sub(" ", DISPLAYED.sub(" ", text))))


def _is_picture(output: NotebookNode) -> bool:
    return any(mime.startswith("image/") for mime in output.get("data", {}))
