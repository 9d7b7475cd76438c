"""docs/BENCHMARKS.md and its figure, written from what was measured: benchmarks/measured.json."""

import json
import math
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks import clock
from benchmarks.installed import NAMES
from benchmarks.startup import ROOT
from benchmarks.task import SLACK, Row, Span

STORE, PAGE, PICTURE = Path("benchmarks/measured.json"), Path("docs/BENCHMARKS.md"), Path("docs/benchmarks.svg")
LOST = 1.05  # what is nearer to one is a tie

INTRODUCTION = """# How fast the library is

*Written by `python3 course.py bench --write` from [what was measured](../benchmarks/measured.json); do not edit.*

A ratio is the time of what stands before the slash, the library's, over the time of what stands behind it: small is good,
one is a tie. It is CPU time of one thread, the median of interleaved rounds in one process, after every method was compared
with a dense float64 reference of its own. Read ratios to one digit: between 0.8 and 1.3 they may be noise.

*Before* is what was measured before the library was made faster, where it was measured (on another machine; convolutions,
sharpness and the Hessian product by hand on this one); *target* is what it should be at most.
The benchmark fails where one is missed by more than a quarter on two attempts, and the tests hold three of the ratios to twice
their targets.
"""

HEADS = {
    "cpu": "## All numbers\n",
    "cuda": "## On a GPU\n\nWall time, waiting for the device. The targets are those of a CPU and are left out.\n",
    "widgets": "## Widgets\n\nCPU seconds of a move, each slider alone to its ends and its middle. More than 0.3 is felt.\n",
    "lessons": "## Lessons\n\nCPU seconds of a lesson from top to bottom, with the imports of its fresh kernel.\n",
}


def about(device: str = "cpu", peers: bool = False) -> str:
    """The machine's class and the versions, without the machine's name."""
    packages = ["torch", "numpy", "scipy", *(NAMES if peers else ())]
    a = torch.randn(800, 800, dtype=torch.float64)
    rate = 2 * 800**3 / clock.measure({"product": lambda: a @ a})["product"].seconds / 1e9
    machine = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} processors, {rate:.0f} GFLOP/s on one in float64"
    gpu = [torch.cuda.get_device_name()] if device == "cuda" else []
    return ", ".join([machine, *gpu, f"Python {platform.python_version()}", *filter(None, map(_version, packages))])


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def read() -> dict:
    """What was measured so far: by section, where and when with what, and the rows."""
    stored = json.loads((ROOT / STORE).read_text("utf-8")) if (ROOT / STORE).exists() else {}
    return {section: {"about": part["about"], "rows": [_row(row) for row in part["rows"]]} for section, part in stored.items()}


def _row(stored: dict) -> Row:
    before = stored["before"]
    return Row(**stored | {"before": tuple(before) if isinstance(before, list) else before})


def keep(section: str, where: str, rows: Iterable[Row]) -> None:
    """Store the rows in place of earlier ones of the same tasks, and write the page and its figure."""
    stored, rows = read(), list(rows)
    fresh = {row.task for row in rows}
    old = stored[section]["rows"] if section in stored else []
    places = list(dict.fromkeys(row.task for row in (*old, *rows)))  # a task stays where it stands
    kept = [row for row in old if row.task not in fresh]
    stored[section] = {"about": where, "rows": sorted([*kept, *rows], key=lambda row: places.index(row.task))}
    plain = {name: part | {"rows": [asdict(row) for row in part["rows"]]} for name, part in stored.items()}
    (ROOT / STORE).write_text(json.dumps(plain, indent=1) + "\n", "utf-8")
    (ROOT / PAGE).write_text(page(stored), "utf-8")
    if "cpu" in stored:
        draw(stored["cpu"]["rows"], ROOT / PICTURE)


def page(stored: dict) -> str:
    """The whole page."""
    parts = [INTRODUCTION, *(losses(stored["cpu"]["rows"]) if "cpu" in stored else [])]
    for section, head in HEADS.items():
        if section in stored:
            parts += [head, table(stored[section]["rows"]), f"Measured on {stored[section]['about']}.\n"]
    return "\n".join(parts)


def losses(rows: list[Row]) -> list[str]:
    """What others do faster, the worst first, which targets are missed, and the figure."""
    lost = sorted((row for row in rows if row.lost and row.now > LOST), key=lambda row: -row.now)
    missed = [f"- {row.name}: {number(row.now)}, target {span(row.target)}" for row in rows if row.missed]
    return [
        "## What we lose\n\nWhere a reader's own lines, another package or another choice do the same in less time:\n",
        table(lost) if lost else "Nothing.\n",
        "\n".join([f"Targets missed by more than {SLACK - 1:.0%}:\n", *missed, ""]) if missed else "No target is missed.\n",
        f"![Every ratio before, now, and its target, on a logarithmic axis; the numbers stand below.]({PICTURE.name})\n",
    ]


def table(rows: Iterable[Row]) -> str:
    """Markdown, a row a number."""
    lines = ["| task | where | what | before | now | target |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row.task, row.setting, row.what, span(row.before), f"**{number(row.now)}**", span(row.target)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def span(value: Span | None) -> str:
    """A number, two with a "to" between, or nothing."""
    if value is None:
        return ""
    return " to ".join(number(one) for one in value) if isinstance(value, tuple) else number(value)


def number(value: float) -> str:
    """Two significant digits, without an exponent."""
    rounded = float(f"{value:.2g}")
    digits = max(0, 1 - math.floor(math.log10(abs(rounded)))) if rounded else 0
    return f"{rounded:.{digits}f}"


def draw(rows: list[Row], path: Path) -> None:
    """Every number before (open), now (full) and as it should be (a tick), on a logarithmic axis."""
    rows = [row for row in rows if row.before is not None or row.target is not None]
    with rc_context({"svg.hashsalt": "regimes", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(10, 0.9 + 0.22 * len(rows)), layout="constrained")
        ax = figure.subplots()
        for y, row in enumerate(rows):
            if row.before is not None:
                ends = row.before if isinstance(row.before, tuple) else (row.before, row.before)
                ax.plot(ends, [y, y], "o-", color="#666666", mfc="white", ms=5)
            if row.target is not None:
                ax.plot(row.target, y, "|", color="black", ms=11, mew=1.5)
            worse = row.missed or (row.lost and row.now > LOST)
            ax.plot(row.now, y, "s" if worse else "o", color="#D55E00" if worse else "#0072B2", ms=5)
        ax.axvline(1, color="#666666", lw=0.8)
        ax.set(
            xscale="log",
            ylim=(len(rows) - 0.4, -0.6),
            xlabel="now: full (square: lost or missed);  before: open;  target: tick",
        )
        ax.set_yticks(range(len(rows)), [row.name for row in rows])
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
