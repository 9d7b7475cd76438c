"""The notebook builder: `python -m tools.notebooks build [NN ...]` and `python -m tools.notebooks check`."""

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from tqdm import tqdm

from tools import claims
from tools.compose import Notebook, notebooks
from tools.execute import Refused, execute, texts
from tools.minutes import cost
from tools.rules import solution_lines
from tools.source import Problem, SourceError
from tools.stale import stale

ROOT = Path(__file__).resolve().parents[1]


def build(root: Path, wanted: list[str] = ()) -> list[Problem]:
    """Builds and executes the notebooks of the lessons `wanted` (all if empty); a failed one stays as it was.

    Returns what went wrong, [] if nothing did. Raises SourceError, before anything runs, for a source that
    breaks a rule, and ValueError for a lesson that does not exist.
    """
    failed = []
    for notebook in notebooks(root, wanted):
        try:
            build_one(notebook, root)
        except Refused as error:
            failed.append(Problem(notebook.source.path, notebook.lines[error.cell], f"{notebook.path}: {error}"))
    return failed


def build_one(notebook: Notebook, root: Path) -> None:
    """Executes one notebook and writes it; raises Refused and writes nothing if a cell or an output is bad."""
    path, started = root / notebook.path, time.perf_counter()
    path.parent.mkdir(parents=True, exist_ok=True)
    total = sum(cell.cell_type == "code" for cell in notebook.node.cells)
    with tqdm(total=total, desc=notebook.path, unit="cell", leave=False) as bar:
        execute(notebook.node, path.parent, bar.update)
    if notebook.path.startswith("exercises/"):
        _refuse_leaks(notebook)
    nbformat.validate(notebook.node)
    draft = path.with_suffix(".draft")
    draft.write_text(nbformat.writes(notebook.node) + "\n", encoding="utf-8", newline="\n")
    os.replace(draft, path)
    claims.keep(root, path)
    reading = f", {cost(notebook.node).minutes:.0f} minutes to read" if notebook.path.startswith("lessons/") else ""
    print(f"{notebook.path}: {time.perf_counter() - started:.1f} s, {path.stat().st_size / 1000:.0f} kB{reading}")


def _refuse_leaks(notebook):
    for index, cell in enumerate(notebook.node.cells):
        shown = "\n".join(text for output in cell.get("outputs", []) for text in texts(output))
        for line, text in solution_lines(notebook.source):
            if text in shown:
                raise Refused(index, f"an output shows line {line} of the solution: {text}")


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """The command line; 0 if all is well."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build and execute").add_argument("lessons", nargs="*", metavar="NN")
    commands.add_parser("check", help="find stale and hand-edited notebooks, without running anything")
    args = parser.parse_args(argv)
    try:
        found = build(root, args.lessons) if args.command == "build" else stale(root)
    except SourceError as error:
        found = error.problems
    except ValueError as error:
        parser.error(str(error))
    print(*found, sep="\n", file=sys.stderr, end="\n" if found else "")
    if found and args.command == "check":
        print("Mend a source at the line named; rebuild with: python3 course.py notebooks NN", file=sys.stderr)
    elif args.command == "check":
        print("Every notebook is what its source gives.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
