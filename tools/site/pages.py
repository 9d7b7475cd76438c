"""What the book is made of: notebooks and pages of the repository, copied into a folder for Sphinx.

The folders stay as they are in the repository, so that links between them keep their paths. Solutions and what students get
wrong (docs/MISTAKES.md) are left out: the book is for everybody.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from tools.site import explorers, pictures, text
from tools.site.frames import Frames

ROOT = Path(__file__).resolve().parents[2]
BOOK = Path(__file__).with_name("book")
KINDS = ("lessons", "lessons/deeper", "exercises")
DOCS = ("docs/CLAIMS.md", "docs/INSTRUCTORS.md", "docs/NOTATION.md")
HIDDEN = ("hero", "widget")  # tags of cells whose picture comes first, with the code unfolded on demand
ANSWER = re.compile(r"^guess\(", re.MULTILINE)  # in a cell that shows what the reader has been asked to predict
READING = """\
This page is for reading. To solve the exercises, with a check that answers at once: `python3 course.py start {}` in a clone of
the course; [how to run it]({}run.md).
"""


@dataclass(frozen=True)
class Book:
    """The pages of the book: their paths in the repository, and where that can be seen on the web, if anywhere."""

    notebooks: tuple[str, ...]
    repository: str = ""

    @classmethod
    def of(cls, repository: str = "") -> "Book":
        """The book of all notebooks that are for learners."""
        return cls(tuple(relative(path) for kind in KINDS for path in sorted((ROOT / kind).glob("*.ipynb"))), repository)

    def target(self, path: str) -> str | None:
        """What a link to a file of the repository leads to: a page of the book, the repository on the web, or nothing."""
        if path in self.notebooks or path in DOCS:
            return path
        return f"{self.repository}/blob/main/{path}" if self.repository else None

    def binder(self, path: str) -> str:
        """Where Binder opens a notebook; "" unless the repository is on GitHub, where alone it is looked for here."""
        name = self.repository.removeprefix("https://github.com/")
        return "" if name == self.repository else f"https://mybinder.org/v2/gh/{name}/main?labpath={path}"

    def related(self, path: str) -> list[tuple[str, str]]:
        """The other notebooks of the same lesson: what they are called, and their paths."""
        names = dict(zip(KINDS, ("Lesson", "Deeper", "Exercises"), strict=True))
        number = Path(path).name[:2]
        return [
            (f"{names[str(Path(other).parent)]} {number}", other)
            for other in self.notebooks
            if Path(other).name[:2] == number and other != path
        ]


def relative(path: Path) -> str:
    """The path from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def read(page: str) -> NotebookNode:
    """A notebook of the repository."""
    return nbformat.read(ROOT / page, 4)


def up(page: str) -> str:
    """How a page calls the root of the book."""
    return "../" * page.count("/")


def widgets_in(book: Book) -> list[str]:
    """The names of the widgets that the notebooks show."""
    cells = (cell for page in book.notebooks for cell in read(page).cells)
    names = (explorers.shown(cell.source) for cell in cells if "widget" in cell.metadata.get("tags", []))
    return list(dict.fromkeys(name for name in names if name))


def notebook(book: Book, page: str, frames: Mapping[str, Frames], static: Path) -> NotebookNode:
    """A notebook as a page: links, pictures and widgets as a reader without Jupyter needs them."""
    node = read(page)
    node.cells = [cell for cell in node.cells if "setup" not in cell.metadata.get("tags", [])]
    explorers.settle(node, dict(frames), up(page))
    pictures.settle(node, page.removesuffix(".ipynb"), static, up(page))
    for output in (output for cell in node.cells for output in cell.get("outputs", [])):
        for kind in [kind for kind in output.get("data", {}) if kind.startswith("application/vnd.regimes")]:
            del output.data[kind]  # for `course.py check` and the claims page
    for cell in node.cells:
        tags = cell.metadata.setdefault("tags", [])
        if cell.cell_type == "markdown":
            cell.source = text.folded(text.displayed(text.links(cell.source, page, book.target)))
        elif set(HIDDEN) & set(tags):
            tags.append("hide-input")
        elif ANSWER.search(cell.source):
            tags.append("hide-output")
    node.cells[0].source = _headed(node, page)
    node.cells.append(new_markdown_cell(_last(book, page)))
    return node


def _headed(node: NotebookNode, page: str) -> str:
    """The first cell, under a title with the number and the topic, by which menus and search call the page."""
    (heading, rest), number = node.cells[0].source.split("\n", 1), Path(page).name[:2]
    title, question = node.metadata.regimes.title, heading.removeprefix("# ")
    parts = [f"# {title if number in title else f'{number} · {title}'}", ""]
    parts += ["{.lead}", question, ""] if question != title else []
    parts += [READING.format(number, up(page))] if page.startswith("exercises/") else []
    return "\n".join([*parts, rest])


def _last(book: Book, page: str) -> str:
    """What stands at the end of a notebook: the others of its lesson, and how to run it."""
    others = " · ".join(f"[{name}]({up(page)}{path})" for name, path in book.related(page))
    binder = book.binder(page)
    run = f"[on Binder]({binder}), or on your machine: " if binder else ""
    run += f"`python3 course.py lab` ([how]({up(page)}run.md))"
    return (f"**Of the same lesson:** {others}. " if others else "") + f"**To run this page:** {run}."
