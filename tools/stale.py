"""Finds, without running anything, built notebooks that are not what their sources give now."""

from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import reads

from tools.compose import Notebook, notebooks, orphans
from tools.source import Problem, SourceError


def stale(root: Path) -> list[Problem]:
    """One problem a notebook: missing, stale, edited by hand, stripped, or without a source."""
    try:
        wanted = notebooks(root)
    except SourceError as error:
        return error.problems
    found = (compare(notebook, root / notebook.path) for notebook in wanted)
    return [problem for problem in found if problem] + orphans(root)


def compare(wanted: Notebook, path: Path) -> Problem | None:
    """The first difference between what the source gives and the notebook at `path`; None if there is none."""
    if not path.exists():
        return Problem(wanted.path, 1, "not built yet")
    try:
        built = reads(path.read_bytes())
    except (ValueError, KeyError, AttributeError):
        return Problem(wanted.path, 1, "not a notebook (a merge gone wrong?)")
    if built.metadata != wanted.node.metadata:
        return Problem(wanted.source.path, 1, f"{wanted.path} is stale or edited by hand: its metadata differ")
    difference = _first_difference(wanted, built)
    if difference is None and len(built.cells) != len(wanted.node.cells):
        difference = min(len(built.cells), len(wanted.node.cells)), "number of cells"
    if difference is None:
        return None
    index, what = difference
    line = wanted.lines[min(index, len(wanted.lines) - 1)]
    return Problem(wanted.source.path, line, f"{wanted.path} is stale or edited by hand: cell {index + 1}, its {what}")


def _first_difference(wanted: Notebook, built: NotebookNode):
    count = 0
    for index, (new, old) in enumerate(zip(wanted.node.cells, built.cells, strict=False)):
        for key in ("cell_type", "source", "id", "metadata"):
            if new[key] != old.get(key):
                return index, f"{key} differs"
        if new.cell_type == "code":
            count += 1
            if old.execution_count != count:  # nbval passes whatever has no count
                return index, f"execution count is {old.execution_count}, not {count}"
    return None
