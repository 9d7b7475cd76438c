"""Run a lesson at the size of its paper: the same cells under `REGIMES_SCALE=paper`, for minutes or hours.

What is slow to import is imported where it is used, so that a request that cannot be met is answered at once.
"""

from pathlib import Path

from regimes_course.learner import Unusable
from regimes_course.learner.notebook import code_cells, load


def lessons(root: Path) -> dict[str, Path]:
    """The lessons that have two sizes, by number: those that call `at_scale`."""
    notebooks = {path: load(path, root) for path in sorted((root / "lessons").rglob("[0-9][0-9]_*.ipynb"))}
    return {path.name[:2]: path for path, one in notebooks.items() if any("at_scale(" in c["source"] for c in code_cells(one))}


def paper(number: str, root: Path, again: bool = False, jobs: int = 1) -> bool:
    """Run lesson `number` ("2", "02") into root/work/paper, print what its ledger says; whether it came to its end.

    A run that did not come to its end is taken up again, unless the lesson or the library has changed since.

    again: start anew; what is there is moved to a dated name first.
    jobs: how many stacks of a sweep run at once.
    Raises Unusable for a lesson that has one size only, naming those that have two, for a result that is there already, and
    while another process runs this lesson.
    """
    known = lessons(root)
    if (source := known.get(number.zfill(2))) is None:
        names = ", ".join(path.stem for path in known.values()) or "none in this copy of the course"
        raise Unusable(f"lesson {number!r} does not run at the size of a paper. Those that do: {names}")
    from regimes_course.learner.long_run import alone, finish

    with alone(source):
        return finish(source, root / "work/paper" / source.name, again, jobs)
