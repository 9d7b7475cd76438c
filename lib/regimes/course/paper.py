"""Run a lesson at the size of its paper: the same cells under `REGIMES_SCALE=paper`, for minutes or hours.

What is slow to import is imported where it is used, so that a request that cannot be met is answered at once.
"""

import logging
import os
import subprocess
import time
from pathlib import Path

from regimes.course import Unusable
from regimes.course.notebook import code_cells, load
from regimes.course.start import keep

ENVIRONMENT = {"REGIMES_SCALE": "paper", "TQDM_DISABLE": "1"}
WORKERS = "--IPKernelApp.exec_lines=import joblib; joblib.parallel_config(n_jobs={})"  # what a sweep goes by


def lessons(root: Path) -> dict[str, Path]:
    """The lessons that have two sizes, by number: those that call `at_scale`."""
    paths = sorted((root / "lessons").glob("[0-9][0-9]_*.ipynb"))
    return {
        path.name[:2]: path for path in paths if any("at_scale(" in cell["source"] for cell in code_cells(load(path, root)))
    }


def paper(number: str, root: Path, again: bool = False, jobs: int = 1) -> bool:
    """Run lesson `number` ("2", "02") into root/work/paper, print what its ledger says; whether it came to its end.

    again: move the result that is there to a dated name first.
    jobs: how many stacks of a sweep run at once.
    Raises Unusable for a lesson that has one size only, naming those that have two, and for a result that is there already.
    """
    known = lessons(root)
    if (source := known.get(number.zfill(2))) is None:
        names = ", ".join(path.stem for path in known.values()) or "none in this copy of the course"
        raise Unusable(f"lesson {number!r} does not run at the size of a paper. Those that do: {names}")
    target, shown = root / "work/paper" / source.name, f"work/paper/{source.name}"
    if target.exists() and not again:
        advice = f"To run again and keep it under another name: python3 course.py paper {number} --again"
        raise Unusable(f"{shown} is there already and stays as it is. {advice}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        print(f"The earlier result is kept as work/paper/{keep(target).name}.")
    import nbformat

    from regimes.ledger import MIME

    notebook, began = nbformat.read(source, 4), time.monotonic()
    stopped = run(notebook, target, jobs)
    outputs = (output for cell in code_cells(notebook) for output in cell.outputs)
    says = [output.data["text/plain"] for output in outputs if MIME in output.get("data", {})]
    print("", *says, sep="\n")
    print(f"{stopped or 'Done.'} {time.monotonic() - began:.0f} s in all; {shown} holds what was run.")
    return not stopped


def run(notebook: dict, target: Path, jobs: int) -> str:
    """Run all cells but the widgets, without a limit of time, and save after each. Returns what stopped it, "" if nothing."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    from regimes.course.kernel import ThisKernel

    cells = [cell for cell in code_cells(notebook) if "widget" not in cell.metadata.get("tags", [])]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None  # what is stored was run at another size
    quiet = {"extra_arguments": ["--log-level=ERROR", WORKERS.format(jobs)], "store_widget_state": False}
    place = {"kernel_manager_class": ThisKernel, "resources": {"metadata": {"path": str(target.parent)}}}
    client = NotebookClient(notebook, timeout=None, kernel_name="python3", record_timing=False, **quiet, **place)
    try:
        with client.setup_kernel(env=os.environ | ENVIRONMENT, stderr=subprocess.DEVNULL):
            for number, cell in enumerate(cells, 1):
                print(f"cell {number} of {len(cells)}", end="", flush=True)
                began = time.monotonic()
                client.execute_cell(cell, notebook.cells.index(cell), number)
                print(f", {time.monotonic() - began:.0f} s", flush=True)
                save(notebook, target)
    except CellExecutionError as error:
        return f"This cell raised an error: {error.ename}: {error.evalue}."
    except DeadKernelError:
        return "Python ended in this cell, most often because memory ran out."
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # it would report that the cell was interrupted as well
        return "Stopped."
    finally:
        save(notebook, target)
    return ""


def save(notebook: dict, target: Path) -> None:
    """Write the notebook in one move: whoever stops us never finds half a file."""
    import nbformat

    draft = target.with_suffix(".draft")
    nbformat.write(notebook, draft)
    os.replace(draft, target)
