"""Read a notebook somebody hands us, and know which exercises of the course are in it.

Standard library only: what cannot be used is refused before anything slow is imported.
"""

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from regimes_course.learner import Unusable
from regimes_course.learner.start import exercises

FRESH = "A fresh copy, beside yours: python3 course.py start NN --again"


@dataclass(frozen=True)
class Exercise:
    """An exercise of the course: its key is "01/gn_direction"."""

    key: str
    title: str
    stars: int
    minutes: int


def load(path: Path, root: Path) -> dict:
    """The notebook at `path` as plain values, each cell with its source as one text and with metadata.

    root: the course folder, where a path that does not exist is looked for.
    Raises Unusable, saying what is there and what to do.
    """
    if path.is_dir():
        raise Unusable(f"{path} is a folder; name one notebook. {inside(path)}")
    if not path.is_file():
        raise Unusable(f"there is no file {path}. {nearest(path, root)}")
    try:
        return parse(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{path} is not a Jupyter notebook: {error}. {FRESH}") from error


def parse(raw: bytes) -> dict:
    """The notebook that a file holds, tidied; raises ValueError, or RecursionError, for what is none."""
    if not raw.strip():
        raise ValueError("the file is empty")
    try:
        notebook = json.loads(raw)  # of bytes: a mark at the start and UTF-16 are understood
    except json.JSONDecodeError as error:
        raise ValueError(f"it is damaged or of another kind (all should be JSON, and line {error.lineno} is not)") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it has no list of cells")
    for number, cell in enumerate(cells, 1):
        source = cell.get("source") if isinstance(cell, dict) else None
        lines = [source] if isinstance(source, str) else source
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise ValueError(f"its cell {number} has no source")
        cell["source"] = "".join(lines)
    for part in (notebook, *cells):
        part["metadata"] = part["metadata"] if isinstance(part.get("metadata"), dict) else {}
    return notebook


def inside(folder: Path) -> str:
    """Which notebooks a folder holds."""
    names = sorted(path.name for path in folder.glob("*.ipynb"))
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"In it: {', '.join(names[:12])}{more}." if names else "No notebook is in it."


def nearest(path: Path, root: Path) -> str:
    """The notebook that was probably meant: its name, or the number of its lesson, is like the one given."""
    near = [found for folder in (path.parent, root / "work") for found in sorted(folder.glob("*.ipynb"))]
    names = {found.stem: found for found in near}
    close = difflib.get_close_matches(path.stem, names, n=1, cutoff=0.6)
    close += [name for name in names if name.startswith(path.stem.zfill(2))]
    if close:
        return f"Did you mean {names[close[0]]}?"
    return "Exercises come to work/ by: python3 course.py start NN"


def code_cells(notebook: dict) -> list:
    """The code cells."""
    return [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]


def contents(path: Path, root: Path) -> list[Exercise]:
    """The exercises of one of the course's own notebooks, in their order."""
    cells = load(path, root)["cells"]
    statements = [cell for cell in cells if "exercise" in cell["metadata"] and cell.get("cell_type") == "markdown"]
    return [
        Exercise(
            f"{path.name[:2]}/{cell['metadata']['exercise']}",
            cell["source"].split("\n")[0].lstrip("# "),
            cell["metadata"].get("stars", 0),
            cell["metadata"].get("minutes", 0),
        )
        for cell in statements
    ]


def title(notebook: dict) -> str:
    """The title in the header that the builder writes, "" without one."""
    header = notebook["metadata"].get("regimes")
    return str(header.get("title", "")) if isinstance(header, dict) else ""


def named(notebook: dict) -> set[str]:
    """The exercises that the metadata of the cells name."""
    return {
        str(cell["metadata"][part]) for cell in notebook["cells"] for part in ("exercise", "check") if part in cell["metadata"]
    }


def original(notebook: dict, path: Path, root: Path) -> Path | None:
    """The course's notebook that this one is a copy of: the metadata tell, also when it was renamed; else the file name."""
    course = {own: load(own, root) for own in exercises(root).values()}
    if same := [own for own, its in course.items() if title(its) and title(its) == title(notebook)]:
        return same[0]
    shared = {own: len(named(its) & named(notebook)) for own, its in course.items()}
    if any(shared.values()):
        return max(shared, key=shared.get)
    return next((own for own in course if own.stem in path.stem and not title(notebook)), None)


def called(cell: dict) -> list[str]:
    """The keys that a cell hands to `check`."""
    return re.findall(r"""\bcheck\s*\(\s*["']([^"']+)["']""", cell["source"])
