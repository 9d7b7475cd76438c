"""Reads a source (py:percent text) into cells that know their line in the file."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import jupytext
import yaml

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
REGION = re.compile(rf"^([ \t]*){BEGIN}\n(.*?)^[ \t]*{END}$", re.M | re.S)
STUB = r"\1# YOUR CODE HERE" + "\n" + r"\1raise NotImplementedError()"
MARKER = re.compile(r"^#\s*%%")


class Problem(NamedTuple):
    """What is wrong, and where an author mends it."""

    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


class SourceError(Exception):
    """Some sources cannot be built; `problems` lists everything found, not only the first."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


@dataclass(frozen=True)
class Cell:
    """One cell of a source: `line` is that of its `# %%`."""

    line: int
    kind: str
    text: str
    meta: dict

    @property
    def tags(self) -> list[str]:
        """The cell's tags, [] without any."""
        return self.meta.get("tags", [])

    @cached_property
    def student(self) -> str:
        """The text a learner gets: a stub where the solution was."""
        return REGION.sub(STUB, self.text)

    @cached_property
    def solved(self) -> str:
        """The text of the solution notebook: without the marker lines."""
        return "\n".join(line for line in self.text.split("\n") if line.strip() not in (BEGIN, END))


@dataclass(frozen=True)
class Source:
    """One file under sources/: `path` is relative to the root, `folder` is NN_name."""

    path: str
    folder: str
    header: dict
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """What kind of source it is: lesson.py, deeper.py or exercises.py."""
        return Path(self.path).name

    @property
    def is_exercises(self) -> bool:
        """Whether stubs and solutions are made from it."""
        return self.name == "exercises.py"


def read(path: Path, root: Path) -> Source:
    """The source at `path`; raises SourceError if its header or its cells cannot be read."""
    name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8-sig")  # a mark at the start is Windows
    try:
        node = jupytext.reads(text, fmt="py:percent")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2  # counted from 0, below the opening "# ---"
        raise SourceError([Problem(name, line, f"the header is not YAML: {error.problem} (quote the text?)")]) from None
    lines = [n for n, line in enumerate(text.split("\n"), 1) if MARKER.match(line)]
    if len(lines) != len(node.cells):
        message = f"{len(node.cells)} cells but {len(lines)} lines '# %%': start each cell, and nothing else, with one"
        raise SourceError([Problem(name, lines[0] if lines else 1, message)])
    cells = (Cell(n, c.cell_type, c.source, _own(c.metadata)) for n, c in zip(lines, node.cells, strict=True))
    return Source(name, path.parent.name, dict(node.metadata.get("regimes", {})), tuple(cells))


def _own(metadata: dict) -> dict:
    return {key: value for key, value in metadata.items() if key != "lines_to_next_cell"}
