"""What a learner waits for: a move of a widget, and a lesson run from top to bottom; in CPU seconds of one thread."""

from collections.abc import Iterator
from pathlib import Path

import nbformat

from benchmarks import widgets
from benchmarks.startup import ROOT, children
from benchmarks.task import Row
from tools.execute import execute

# Medians and worst moves when they were first measured.
MOVES = {
    "four_regimes": (0.256, 0.276),
    "particles": (0.054, 0.406),
    "phase_diagram": (0.274, 0.432),
    "hyperbolas": (0.042, 0.061),
    "width_dial": (0.026, 0.107),
    "flow": (0.312, 0.809),
    "lazy_dial": (0.101, 0.685),
    "exact_steps": (0.023, 0.024),
    "degree_four": (0.184, 0.212),
    "chebyshev_fit": (0.457, 0.577),
    "two_points": (0.063, 0.087),
    "tug_of_war": (0.303, 0.438),
    "digit_steps": (0.641, 0.735),
}
MEDIAN, WORST, LESSON = 0.1, 0.25, 20.0  # seconds, at most


def moves(tiny: bool = False) -> Iterator[Row]:
    """Two rows a widget."""
    for name, widget in widgets.widgets():
        if not tiny or name in widgets.TINY:
            found, (median, worst) = widgets.bench(name, widget), MOVES.get(name, (None, None))
            yield Row(name, "a move", "median", found["median"], median, MEDIAN)
            yield Row(name, f"a move, to {found['at']}", "worst", found["worst"], worst, WORST)


def lessons(tiny: bool = False) -> Iterator[Row]:
    """A row a lesson."""
    for path in sorted((ROOT / "lessons").glob("*.ipynb"))[: 1 if tiny else None]:
        yield Row(path.stem, "from top to bottom", "CPU seconds", lesson(path), None, LESSON)


def lesson(path: Path) -> float:
    """CPU seconds of a notebook's kernel."""
    node, begin = nbformat.read(path, 4), children()
    execute(node, path.parent)
    return children() - begin
