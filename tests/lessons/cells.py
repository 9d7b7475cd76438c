"""The code cells of a lesson, run as a plain program."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

from tools.compose import sources
from tools.source import Cell, Source

ROOT = Path(__file__).resolve().parents[2]


def lesson(number: str) -> Source:
    """The source of ``lesson.py``."""
    (source,) = [source for source in sources(ROOT, [number]) if source.name == "lesson.py"]
    return source


def prose(source: Source) -> str:
    """All that stands between the code."""
    return "\n".join(cell.text for cell in source.cells if cell.kind != "code")


def is_idea(cell: Cell) -> bool:
    return "idea" in cell.tags


def run(source: Source, wanted: Callable[[Cell], bool], **names) -> list[tuple[dict, str]]:
    """Run the cells that are wanted, one after the other: what each leaves, and what it prints. ``names`` are there before."""
    after = []
    for cell in filter(wanted, source.cells):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(cell.text, names)  # noqa: S102
        after.append((dict(names), said.getvalue()))
    return after
