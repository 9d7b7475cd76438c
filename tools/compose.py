"""From sources to notebooks that have not run yet: ids, tags, metadata, the setup cell."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.rules import UNCOMPARED, problems
from tools.source import Problem, Source, SourceError, read

KINDS = {  # what is built, and from which source; a lesson shows what its deeper notebook measured, so that comes first
    "lessons/deeper": "deeper.py",
    "lessons": "lesson.py",
    "exercises": "exercises.py",
    "solutions": "exercises.py",
}
COMPARED = "nbval-check-output"
SETUP = """\
from importlib.util import find_spec

if find_spec("regimes_course") is None:  # not the course's Python
    raise RuntimeError('Use python3 course.py lab, or this Jupyter after: %pip install -e "FOLDER-OF-course.py[course]"')"""


@dataclass
class Notebook:
    """A notebook to build: `path` is relative to the root; `lines[i]` is the source line of its cell i."""

    path: str
    source: Source
    node: NotebookNode
    lines: list[int]


def sources(root: Path, wanted: list[str] = ()) -> list[Source]:
    """The sources under root/sources, of the lessons `wanted` ("01", "1" or "01_name"; all if empty).

    Raises SourceError with every problem of every file, ValueError for a lesson that does not exist, or if there is none.
    """
    folders = sorted({p.parent for p in root.glob("sources/*/*.py")})
    if not folders:
        raise ValueError("no sources: write sources/NN_name/lesson.py")
    names = {name: f for f in folders for name in (f.name, f.name[:2], f.name[:2].lstrip("0") or "0")}
    if unknown := [name for name in wanted if name not in names]:
        raise ValueError(f"no lesson {', '.join(unknown)}; there are: {', '.join(f.name for f in folders)}")
    found, bad = [], []
    for folder in sorted({names[name] for name in wanted}) or folders:
        for path in (folder / name for name in dict.fromkeys(KINDS.values()) if (folder / name).exists()):
            try:
                found.append(read(path, root))
                bad += problems(found[-1])
            except SourceError as error:
                bad += error.problems
    if bad:
        raise SourceError(bad)
    return found


def notebooks(root: Path, wanted: list[str] = ()) -> list[Notebook]:
    """What the sources give now: one notebook for a lesson and one that goes deeper, two for its exercises."""
    return [compose(source, kind) for source in sources(root, wanted) for kind, name in KINDS.items() if name == source.name]


def compose(source: Source, kind: str) -> Notebook:
    """The notebook of one of the `KINDS`, not executed."""
    cells, lines = [], []
    for cell, name in zip(source.cells, _ids(source), strict=True):
        if kind == "exercises" and "solution" in cell.tags:
            continue
        new = new_code_cell if cell.kind == "code" else new_markdown_cell
        text = cell.student if kind == "exercises" else cell.solved
        cells.append(new(text, id=name, metadata=_metadata(cell)))
        lines.append(cell.line)
    at = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    cells.insert(at, new_code_cell(SETUP, id="setup", metadata={"tags": ["setup", COMPARED]}))
    lines.insert(at, 1)
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "regimes": source.header,
    }
    return Notebook(f"{kind}/{source.folder}.ipynb", source, new_notebook(cells=cells, metadata=metadata), lines)


def _ids(source: Source):
    """An author's own id, or the hash of the text with a running number for equal cells; the same in all kinds."""
    seen = Counter()
    for cell in source.cells:
        digest = hashlib.sha256(f"{cell.kind}\n{cell.text}".encode()).hexdigest()[:12]
        seen[digest] += 1
        yield cell.meta.get("id") or (digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")


def _metadata(cell) -> dict:
    """The author's metadata; and for code, whether nbval compares the outputs: not those of widgets or of what is personal."""
    kept = {key: value for key, value in cell.meta.items() if key != "id"}
    if cell.kind == "code":
        kept["tags"] = [*cell.tags, COMPARED if UNCOMPARED.isdisjoint(cell.tags) else "nbval-ignore-output"]
    return kept


def orphans(root: Path) -> list[Problem]:
    """Built notebooks whose source is gone."""
    return [
        Problem(path.relative_to(root).as_posix(), 1, "no source gives this notebook; delete it")
        for kind, name in KINDS.items()
        for path in sorted(root.glob(f"{kind}/*.ipynb"))
        if not (root / "sources" / path.stem / name).exists()
    ]
