"""A lesson that runs for minutes or hours, cell by cell, and goes on where it was stopped.

After each cell the notebook and the variables of its kernel are on disk, and inside a cell every finished stack of a sweep. So
a run that was stopped, killed or lost its power goes on from the last cell that was finished when it is started again.
"""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from regimes.store import fingerprint, library
from regimes_course.kit.ledger import MIME
from regimes_course.learner import Unusable
from regimes_course.learner.handout import keep
from regimes_course.learner.kernel import ThisKernel
from regimes_course.learner.notebook import code_cells

try:
    import fcntl
except ImportError:  # Windows, where nothing keeps two runs of a lesson apart
    fcntl = None

COURSE = Path(__file__).parents[1]  # the package whose figures, widgets and experiments a lesson uses
ENVIRONMENT = {"REGIMES_SCALE": "paper", "TQDM_DISABLE": "1"}
WORKERS = "--IPKernelApp.exec_lines=import joblib; joblib.parallel_config(n_jobs={})"  # what a sweep goes by
STATE = "__import__('regimes_course.learner.state', fromlist=['']).{}({!r})"  # leaves no name behind


@contextlib.contextmanager
def alone(source: Path) -> Iterator[None]:
    """Keep other runs of this lesson out; the system lifts the lock of a process that dies."""
    with source.open("rb") as lesson:
        try:
            if fcntl:
                fcntl.flock(lesson, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unusable(
                f"{source.stem} is running already, in another window perhaps. Wait for it, or stop it there"
            ) from None
        except OSError:
            pass  # some network drives know no locks
        yield


def finish(source: Path, target: Path, again: bool, jobs: int) -> bool:
    """Start the lesson or go on with it; whether it came to its end."""
    began = time.monotonic()
    notebook = begin(source, target, again)
    stopped = run(notebook, target, jobs)
    outputs = (output for cell in code_cells(notebook) for output in cell.outputs)
    says = [output.data["text/plain"] for output in outputs if MIME in output.get("data", {})]
    print("", *says, sep="\n")
    print(f"{stopped or 'Done.'} {time.monotonic() - began:.0f} s in all; work/paper/{target.name} holds what was run.")
    if stopped:
        print("The same command goes on from there.")
    return not stopped


def begin(source: Path, target: Path, again: bool) -> NotebookNode:
    """The notebook to run: the unfinished one of this very lesson if there is one, else a new one."""
    fresh = nbformat.read(source, 4)
    fresh.metadata.paper = {"of": origin(fresh), "done": 0}
    for cell in to_run(fresh):
        cell.outputs, cell.execution_count = [], None  # what is stored was run at another size
    if target.exists():
        before, shown, number = unfinished(target), f"work/paper/{target.name}", source.name[:2]
        if before is None and not again:
            advice = f"To run again and keep it under another name: python3 course.py paper {number} --again"
            raise Unusable(f"{shown} is there already and stays as it is. {advice}")
        if before and not again and before.metadata.paper["of"] == origin(before) == origin(fresh):
            room(target).mkdir(exist_ok=True)
            return before
        why = "" if again else "The lesson, the library or its Python has changed since this run began, so it starts anew. "
        print(f"{why}The earlier result is kept as work/paper/{keep(target).name}.")
    shutil.rmtree(room(target), ignore_errors=True)
    room(target).mkdir(parents=True)
    return fresh


def origin(notebook: NotebookNode) -> str:
    """What results come from: the cells, the library, its Python, the seeds. Another one: never go on with the old."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return fingerprint(cells, library(COURSE), sys.version, os.environ.get("REGIMES_FIRST_SEED"))


def unfinished(target: Path) -> NotebookNode | None:
    """The notebook of a run that did not come to its end; None if it did, or if the file is not ours."""
    try:
        notebook = nbformat.read(target, 4)
    except Exception:  # nbformat raises half a dozen types for what is not a notebook
        return None
    done = notebook.metadata.get("paper", {}).get("done")
    return notebook if done is not None and done < len(to_run(notebook)) else None


def to_run(notebook: NotebookNode) -> list[NotebookNode]:
    """All cells with code but the widgets."""
    return [cell for cell in code_cells(notebook) if "widget" not in cell.metadata.get("tags", [])]


def room(target: Path) -> Path:
    """The folder that holds, while a run is unfinished, what it needs to go on."""
    return target.with_suffix(".unfinished")


def run(notebook: NotebookNode, target: Path, jobs: int) -> str:
    """Run the cells that are not done, without a limit of time. Returns what stopped it, "" if nothing."""
    quiet = {"extra_arguments": [WORKERS.format(jobs)], "store_widget_state": False}
    place = {"kernel_manager_class": ThisKernel, "resources": {"metadata": {"path": str(target.parent)}}}
    with_ours = NotebookNode(notebook, cells=[*notebook.cells, None])  # the last place is for what we run between the cells
    client = NotebookClient(with_ours, timeout=None, kernel_name="python3", record_timing=False, **quiet, **place)
    env = os.environ | ENVIRONMENT | {"REGIMES_STORE": str(room(target).resolve() / "store")}
    try:
        with client.setup_kernel(env=env, stderr=subprocess.DEVNULL):
            run_cells(client, notebook, target)
    except CellExecutionError as error:
        return f"This cell raised an error: {error.ename}: {error.evalue}."
    except DeadKernelError:
        return "Python ended in this cell, most often because memory ran out."
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # it would report that the cell was interrupted as well
        return "Stopped."
    finally:
        save(notebook, target)
    shutil.rmtree(room(target))
    return ""


def run_cells(client: NotebookClient, notebook: NotebookNode, target: Path) -> None:
    """Run the cells that are not done. After each write its variables, then the notebook that says that it is done."""
    cells, about = to_run(notebook), notebook.metadata.paper
    if about["done"] and (trouble := in_kernel(client, "load", room(target) / f"{about['done']}.state")):
        print(f"The variables of the finished cells cannot be read, so these run again; their sweeps are kept. ({trouble})")
        about["done"] = 0
    if about["done"]:
        print(f"{about['done']} of {len(cells)} cells done")
    for number, cell in list(enumerate(cells, 1))[about["done"] :]:
        cell.outputs, cell.execution_count = [], None
        print(f"cell {number} of {len(cells)}", end="", flush=True)
        began = time.monotonic()
        client.execute_cell(cell, notebook.cells.index(cell), number)
        took, state = time.monotonic() - began, room(target) / f"{number}.state"
        trouble = number < len(cells) and in_kernel(client, "save", state)
        print(f", {took:.0f} s" + (f"; will run again if you stop now, as {trouble}" if trouble else ""), flush=True)
        about["done"] = about["done"] if trouble else number
        save(notebook, target)
        for old in room(target).glob("*.state"):
            if int(old.stem) < about["done"]:
                old.unlink()


def in_kernel(client: NotebookClient, what: str, state: Path) -> str:
    """Save or load the variables of the kernel; returns what was wrong, "" if nothing."""
    try:
        client.execute_cell(nbformat.v4.new_code_cell(STATE.format(what, str(state.resolve()))), -1, store_history=False)
    except CellExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    return ""


def save(notebook: NotebookNode, target: Path) -> None:
    """Write the notebook in one move: whoever stops us never finds half a file."""
    draft = target.with_suffix(".draft")
    nbformat.write(notebook, draft)
    os.replace(draft, target)
