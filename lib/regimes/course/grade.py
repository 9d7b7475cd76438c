"""Run a learner's notebook and collect what its checks say; the file itself is never changed."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from regimes.course import Unusable

MIME = "application/vnd.regimes.check+json"
DEAD = "DeadKernel"
ADVICE = {
    "SyntaxError": "Python cannot read this cell.",
    "IndentationError": "Python cannot read this cell: look at the spaces at the start of its lines.",
    "NameError": "A name is used before it has a value: was a cell above changed, moved or deleted?",
    "ModuleNotFoundError": "That package is not part of the course; its notebooks need none beyond those they import.",
    "NotImplementedError": "It calls a function that is still a stub.",
    "KeyboardInterrupt": "It took longer than the limit and was stopped: is there a loop without an end?",
    "StdinNotImplementedError": "A notebook that is checked cannot ask questions: put the answer in the cell.",
    DEAD: "Python itself ended, most often because memory ran out; the cells below did not run.",
}


class ThisPython(KernelSpecManager):
    """Knows one kernel, `python3`, and it is the Python that runs this: no other one can slip in."""

    @property
    def kernel_dirs(self):
        """No folder is searched, so what remains is the kernel of this Python."""
        return []

    @kernel_dirs.setter
    def kernel_dirs(self, value):
        pass


class ThisKernel(AsyncKernelManager):
    """Starts the kernel of the Python that runs this."""

    def __init__(self, **options):
        super().__init__(kernel_spec_manager=ThisPython(), **options)


@dataclass(frozen=True)
class Outcome:
    """What one check said: status is "passed", "wrong" or "not attempted"."""

    key: str
    status: str
    diagnosis: str = ""
    mistake: str | None = None


@dataclass(frozen=True)
class Trouble:
    """A cell that raised an error: its first line, the error, and what to look at."""

    cell: str
    error: str
    advice: str


@dataclass(frozen=True)
class Report:
    """All the outcomes of a notebook, in the order of its exercises, and the cells that raised."""

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
        lines += ["", "Cells that raised an error:"] if self.troubles else []
        lines += [f"  {trouble.cell}\n      {trouble.error}\n      {trouble.advice}" for trouble in self.troubles]
        return "\n".join(line.rstrip() for line in lines)


def grade(path: Path, root: Path, seconds: int = 120, progress: bool = True) -> Report:
    """Run a copy of the notebook at `path` and report what its checks say.

    root: the course folder; its exercises/ tells which checks there should be, so a deleted one counts as not attempted.
    seconds: limit for each cell.
    progress: show a bar, if stderr is a terminal.
    Raises Unusable when there is no such file, it is not a notebook, or it has no checks.
    """
    notebook = read(path)
    wanted = expected(path, root)
    for cell in code_cells(notebook):
        cell.outputs = []  # an old "passed" must not count if its cell is never reached
    dead = run(notebook, path.parent, seconds, progress)
    found = verdicts(notebook)
    keys = list(dict.fromkeys([*wanted, *found]))
    if not keys:
        raise Unusable(f"{path} has no checks. Exercise notebooks come from: python3 course.py start NN")
    silent = "Its check gave no answer: the check cell is missing, or an error kept it from running."
    outcomes = tuple(found.get(key) or Outcome(key, "not attempted", silent) for key in keys)
    return Report(str(path), outcomes, tuple(troubles(notebook)) + dead)


def read(path: Path) -> NotebookNode:
    """The notebook at `path`; raises Unusable."""
    if not path.is_file():
        raise Unusable(f"there is no file {path}. Exercises come to work/ by: python3 course.py start NN")
    try:
        notebook = nbformat.reads(path.read_text("utf-8"), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises half a dozen types for what is not a notebook
        reason = str(error).splitlines()[0][:200]
        raise Unusable(f"{path} is not a Jupyter notebook ({type(error).__name__}: {reason})") from error
    return notebook


def expected(path: Path, root: Path) -> list[str]:
    """The keys of the checks that this notebook was handed out with; [] if it is not one of the course's.

    A renamed copy counts: `01_name_anna.ipynb` was `01_name.ipynb`.
    """
    originals = (root / "exercises").glob("*.ipynb")
    return [key for original in originals if path.stem.startswith(original.stem) for key in verdicts(read(original))]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def verdicts(notebook: NotebookNode) -> dict[str, Outcome]:
    """What the checks said in the outputs that the notebook holds, by key; of several answers the last one."""
    outputs = (output for cell in code_cells(notebook) for output in cell.outputs)
    said = [output.data[MIME] for output in outputs if MIME in output.get("data", {})]
    return {one["key"]: Outcome(**{name: one.get(name) for name in Outcome.__dataclass_fields__}) for one in said}


def run(notebook: NotebookNode, folder: Path, seconds: int, progress: bool) -> tuple[Trouble, ...]:
    """Run all the cells in a kernel of this Python; errors stay in the outputs. Returns how the kernel died, if it did."""
    bar = tqdm(total=len(code_cells(notebook)), desc="checking", unit="cell", leave=False, disable=not progress or None)
    at = []
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=ThisKernel,
        resources={"metadata": {"path": str(folder)}},
        timeout=seconds,
        interrupt_on_timeout=True,
        extra_arguments=["--log-level=ERROR"],
        allow_errors=True,
        store_widget_state=False,
        record_timing=False,
        on_cell_start=lambda cell, cell_index: at.append(cell),
        on_cell_executed=lambda cell, cell_index, execute_reply: bar.update(),
    )
    try:
        with bar:
            client.execute()
    except DeadKernelError:
        return (Trouble(first_line(at[-1]), DEAD, ADVICE[DEAD]),)
    return ()


def first_line(cell: NotebookNode) -> str:
    """What a learner finds a cell by."""
    return next((line.strip() for line in cell.source.splitlines() if line.strip()), "(an empty cell)")[:100]


def troubles(notebook: NotebookNode) -> list[Trouble]:
    """The cells that raised an error."""
    raised = [(cell, out) for cell in code_cells(notebook) for out in cell.outputs if out.output_type == "error"]
    return [
        Trouble(first_line(cell), f"{out.ename}: {out.evalue}".splitlines()[0], ADVICE.get(out.ename, ""))
        for cell, out in raised
    ]
