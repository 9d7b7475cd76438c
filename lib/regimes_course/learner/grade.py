"""Run a learner's notebook and collect what its checks say; the file itself is never changed."""

import dataclasses
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from regimes_course.learner import Unusable
from regimes_course.learner.notebook import called, code_cells, contents, load, original
from regimes_course.learner.progress import STATUSES, record_run
from regimes_course.learner.start import exercises

MIME = "application/vnd.regimes.check+json"
ADVICE = {
    "SyntaxError": "Python cannot read this cell.",
    "IndentationError": "Python cannot read this cell: look at the spaces at the start of its lines.",
    "NameError": "A name is used before it has a value: was a cell above changed, moved or deleted?",
    "ModuleNotFoundError": "That package is not part of the course; its notebooks need none beyond those they import.",
    "NotImplementedError": "It calls a function that is still a stub.",
    "SystemExit": "It asks Python to end (exit, quit or sys.exit): take that out; a function ends with return.",
    "StdinNotImplementedError": "A notebook that is checked cannot ask questions: put the answer in the cell.",
}
STOPPED = {  # why a cell was ended: what is said of it, and what to do
    "time": (
        "Stopped after {seconds} s, the limit for a cell.",
        "Is there a loop without an end? For more time: --seconds {more}",
    ),
    "flood": ("Stopped: it showed more than 10 MB.", "Is there a loop without an end that prints?"),
    "dead": ("Python itself ended.", "Most often memory ran out."),
}
SET_UP = "It came with the course, and the cells below need it: the machine is slow or busy. For more time: --seconds {more}"
NO_CELL = "The check cell is missing. It is in a fresh copy: python3 course.py start {} --again (yours is kept beside it)."
FAILED = "An error kept its check from running: see below."
UNREACHED = "Python ended before this check: see below."
UNSEEN = (
    "Its check ran, but the result was not shown: check(...) must be the last line of its cell, in no loop and not assigned."
)


@dataclass(frozen=True)
class Outcome:
    """What one check said: status is "passed", "wrong" or "not attempted"."""

    key: str
    status: str
    diagnosis: str = ""
    mistake: str | None = None


@dataclass(frozen=True)
class Trouble:
    """A cell that raised an error or was stopped: its first line, what happened, and what to look at."""

    cell: str
    error: str
    advice: str


@dataclass(frozen=True)
class Report:
    """All the outcomes of a notebook, in the order of its exercises, and the cells that went wrong."""

    notebook: str
    outcomes: tuple[Outcome, ...]
    troubles: tuple[Trouble, ...]

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return sum(outcome.status == "passed" for outcome in self.outcomes)

    def as_dict(self) -> dict:
        """The report as plain values, for JSON."""
        return {"passed": self.passed, "total": len(self.outcomes), **dataclasses.asdict(self)}

    def __str__(self):
        lines = [f"{self.notebook}: {self.passed} of {len(self.outcomes)} passed", ""]
        for outcome in self.outcomes:
            lines.append(f"  {outcome.status:<15}{outcome.key}")
            lines += [" " * 17 + line for line in outcome.diagnosis.splitlines() if outcome.status != "passed"]
        lines += ["", "Cells that went wrong:"] if self.troubles else []
        lines += [f"  {trouble.cell}\n      {trouble.error}\n      {trouble.advice}" for trouble in self.troubles]
        return "\n".join(line.rstrip() for line in lines)


def grade(path: Path, root: Path, seconds: int = 120, progress: bool = True) -> Report:
    """Run a copy of the notebook at `path` and report what its checks say.

    root: the course folder; its exercises/ tells which checks there should be, so a deleted one counts as not attempted.
    seconds: limit for each cell.
    progress: show a bar, if stderr is a terminal.
    Raises Unusable when there is no such file, it is not a notebook, or it has no checks.
    """
    notebook = load(path, root)
    own = original(notebook, path, root)
    owed = [exercise.key for exercise in contents(own, root)] if own else []
    known = {exercise.key for course in exercises(root).values() for exercise in contents(course, root)}
    asked = [key for cell in code_cells(notebook) for key in called(cell) if key in known]
    if not owed and not any("check(" in cell["source"] for cell in code_cells(notebook)):
        raise no_checks(path, root)
    cells, stopped = execute(notebook, path.parent, seconds, progress)
    found, strange = verdicts(cells, known)
    keys = list(dict.fromkeys([*owed, *asked, *found]))
    if not keys:
        raise no_checks(path, root)
    outcomes = tuple(found.get(key) or Outcome(key, "not attempted", silence(key, cells, stopped)) for key in keys)
    record_run(path.parent, outcomes)
    return Report(str(path), outcomes, (*troubles(cells, stopped, seconds, set_up(own, root)), *strange))


def no_checks(path: Path, root: Path) -> Unusable:
    """What to say of a notebook that has nothing to check, a lesson for example."""
    number = path.name[:2] if path.name[:2] in exercises(root) else "NN"
    return Unusable(f"{path} has no checks. Exercise notebooks come from: python3 course.py start {number}")


def execute(notebook: dict, folder: Path, seconds: int, progress: bool) -> tuple[list, dict[int, str]]:
    """The code cells with what they show now, and why some were stopped, by index. What was stored does not count."""
    from nbformat.v4 import new_code_cell, new_notebook  # as the next, slow to import: not before the input is known as good

    from regimes_course.learner.watched import run

    cells = [new_code_cell(cell["source"], metadata=cell["metadata"]) for cell in code_cells(notebook)]
    return cells, run(new_notebook(cells=cells), folder, seconds, progress)


def verdicts(cells: list, known: set[str]) -> tuple[dict[str, Outcome], list[Trouble]]:
    """What the checks said, by key (of several answers the last one), and what looks like a result and cannot count."""
    found, strange = {}, []
    shown = [(cell, out.data[MIME]) for cell in cells for out in cell.outputs if MIME in out.get("data", {})]
    for cell, record in shown:
        fields = {name: record.get(name) for name in Outcome.__dataclass_fields__} if isinstance(record, dict) else {}
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        good = texts.get("key") in known and texts.get("status") in STATUSES and "diagnosis" in texts
        if good and (fields["mistake"] is None or "mistake" in texts):
            found[fields["key"]] = Outcome(**fields)
        else:
            what = f"It shows a result that no check of the course wrote: {record!r:.100}"
            strange.append(Trouble(first_line(cell), what, "Such a result does not count; only check(...) gives one."))
    return found, strange


def silence(key: str, cells: list, stopped: dict[int, str]) -> str:
    """Why the check of an exercise said nothing."""
    asking = [(index, cell) for index, cell in enumerate(cells) if key in called(cell)]
    if not asking:
        return NO_CELL.format(key[:2])
    if all(cell.execution_count is None for _, cell in asking):
        return UNREACHED
    failed = any(index in stopped or any(out.output_type == "error" for out in cell.outputs) for index, cell in asking)
    return FAILED if failed else UNSEEN


def set_up(own: Path | None, root: Path) -> set[str]:
    """The cells that a notebook of the course has before its first exercise."""
    cells = code_cells(load(own, root)) if own else []
    return {cell["source"] for cell in takewhile(lambda cell: "exercise" not in cell["metadata"], cells)}


def first_line(cell) -> str:
    """What a learner finds a cell by."""
    return next((line.strip() for line in cell.source.splitlines() if line.strip()), "(an empty cell)")[:100]


def troubles(cells: list, stopped: dict[int, str], seconds: int, given: set[str]) -> list[Trouble]:
    """The cells that raised an error or were stopped. given: the course's own set-up."""
    found = []
    for index, cell in enumerate(cells):
        if index in stopped:
            error, advice = STOPPED[stopped[index]]
            advice = SET_UP if stopped[index] == "time" and cell.source in given else advice
            below = "" if any(later.execution_count for later in cells[index + 1 :]) else " No cell below it ran."
            found.append(Trouble(first_line(cell), error.format(seconds=seconds), advice.format(more=3 * seconds) + below))
            continue
        raised = [out for out in cell.outputs if out.output_type == "error"]
        texts = [(out.ename, f"{out.ename}: {out.evalue}".splitlines()[0]) for out in raised]
        found += [Trouble(first_line(cell), text, ADVICE.get(name, "")) for name, text in texts]
    return found
