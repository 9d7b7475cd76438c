"""The book's own pages: the first one, and what each part holds."""

import re
from pathlib import Path

from tools.site.pages import BOOK, Book, read

PARTS = {  # folder: what its page is called
    "lessons": "Lessons",
    "lessons/deeper": "Deeper",
    "exercises": "Exercises",
}
LEADS = {  # ... and what stands there above the list
    "lessons": """\
Start with 00, 01, 02; then 03 (one pass over endless data), 04 and 05 (which fit, which features), 06 and 07 (kernel, exact
steps), 08 and 09 (large steps), in any order. A lesson is for one sitting.""",
    "lessons/deeper": """\
The evidence of each lesson over many seeds, what did not reproduce, and the limits: for a teacher, a researcher, a doubter. No
lesson needs it.""",
    "exercises": """\
Here to be read. To solve them, with a check that answers at once and names the usual mistakes, type
`python3 course.py start 01` in a clone of the course; each page tells its number.""",
}
BINDER = "**On Binder.** [JupyterLab with the course]({}) in your browser; it takes some minutes to start."
NO_BINDER = "**On Binder.** Give it the address of the repository; the folder `.binder` says what is needed."
NO_ADDRESS = "This copy of the book was made without that address: ask who gave it to you where the course is kept.\n\n"


def pages(book: Book) -> dict[str, str]:
    """The text of these pages, by their paths."""
    filled = {page: _filled((BOOK / page).read_text("utf-8"), book) for page in ("index.md", "run.md")}
    return filled | {f"{folder}/index.md": _part(book, folder) for folder in PARTS}


def _part(book: Book, folder: str) -> str:
    rows, entries = ["| number | question | minutes |", "|---|---|---|"], []
    for page in book.notebooks:
        if str(Path(page).parent) == folder:
            node, file = read(page), Path(page).name
            question = node.cells[0].source.splitlines()[0].removeprefix("# ")
            rows.append(f"| {file[:2]} | [{question}]({file}) | {node.metadata.regimes.minutes} |")
            title = re.sub(r"^Exercises \d\d: (.)", lambda first: first[1].upper(), node.metadata.regimes.title)
            entries.append(f"{file[:2]} · {title} <{Path(file).stem}>")
    return "\n".join(
        [f"# {PARTS[folder]}", "", LEADS[folder], "", *rows, "", "```{toctree}", ":hidden:", "", *entries, "```", ""]
    )


def _filled(text: str, book: Book) -> str:
    """A page with the address of the repository, where that is known."""
    binder = book.binder("lessons/00_start_here.ipynb")
    there = BINDER.format(binder) if binder else NO_BINDER
    text = text.replace("CLONE", f"git clone {book.repository or 'ADDRESS-OF-THE-REPOSITORY'}").replace("BINDER", there)
    return text.replace("ASK\n\n", "" if book.repository else NO_ADDRESS)
