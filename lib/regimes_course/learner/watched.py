"""Run somebody's notebook within limits: in a kernel of this Python, so long, with so much output, and then stopped."""

import asyncio
import logging
import os
import signal
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode
from tqdm import tqdm

from regimes_course.learner import Unusable
from regimes_course.learner.kernel import ThisKernel

TIME, FLOOD, DEAD = "time", "flood", "dead"  # what may end a cell before its time
OUTPUT = 10_000_000  # characters that one cell may show; every message counts as a thousand at least
PATIENCE = 10  # seconds that a cell has to end when it is asked to
EXIT = "--IPKernelApp.exec_lines=from sys import exit; quit = exit"  # else exit() would end the kernel for all cells below
ENVIRONMENT = {"REGIMES_PROGRESS": os.devnull}  # a second run of the same answers is no second attempt


class Watched(NotebookClient):
    """Stops a cell that takes too long or shows too much, and remembers why; ends a kernel that will not stop."""

    def __init__(self, notebook: NotebookNode, seconds: float, **options):
        super().__init__(notebook, timeout=None, **options)
        self.seconds, self.shown, self.watch = seconds, 0, None
        self.stopped: dict[int, str] = {}  # index of a cell: TIME, FLOOD or DEAD

    async def async_execute_cell(self, cell, cell_index, *arguments, **options):
        """Run one cell under watch."""
        self.shown, self.watch = 0, asyncio.ensure_future(self._stop(cell_index, TIME, self.seconds))
        try:
            return await super().async_execute_cell(cell, cell_index, *arguments, **options)
        except DeadKernelError:
            self.stopped.setdefault(cell_index, DEAD)
            raise
        finally:
            self.watch.cancel()

    execute_cell = run_sync(async_execute_cell)

    def process_message(self, msg, cell, cell_index):
        """Keep an output, unless the cell has shown too much already."""
        content = msg["content"]
        if msg["msg_type"] not in ("status", "error"):  # without these two nobody knows how the cell ended
            self.shown += 1000 + sum(len(str(value)) for value in (content.get("text", ""), *content.get("data", {}).values()))
            if self.shown > OUTPUT:
                if cell_index not in self.stopped:
                    self.watch.cancel()
                    self.watch = asyncio.ensure_future(self._stop(cell_index, FLOOD))
                    self.stopped[cell_index] = FLOOD
                return None
        return super().process_message(msg, cell, cell_index)

    async def _stop(self, index, why, seconds=0):
        await asyncio.sleep(seconds)
        self.stopped.setdefault(index, why)
        await self.km.interrupt_kernel()
        await asyncio.sleep(PATIENCE)
        await self.km.signal_kernel(getattr(signal, "SIGKILL", signal.SIGTERM))


def run(notebook: NotebookNode, folder: Path, seconds: float, progress: bool) -> dict[int, str]:
    """Run all the code cells in place, in `folder`; errors stay in the outputs.

    seconds: limit for each cell; progress: show a bar, if stderr is a terminal.
    Returns why a cell was stopped, by its index. After a kernel that died the cells below have not run.
    Raises Unusable when no kernel starts.
    """
    client = Watched(
        notebook,
        seconds,
        kernel_name="python3",
        kernel_manager_class=ThisKernel,
        resources={"metadata": {"path": str(folder)}},
        startup_timeout=120,
        shutdown_kernel="immediate",
        extra_arguments=[EXIT],
        allow_errors=True,
        store_widget_state=False,
        record_timing=False,
    )
    bar = tqdm(notebook.cells, desc="checking", unit="cell", leave=False, disable=not progress or None)
    started = False
    try:
        with client.setup_kernel(env=os.environ | ENVIRONMENT), bar:
            started = True
            for index, cell in enumerate(bar):
                client.execute_cell(cell, index)
    except DeadKernelError:
        pass  # client.stopped says where
    except RuntimeError as error:
        if started:
            raise
        raise Unusable(f"Python's kernel did not start ({error}). What is off: python3 course.py doctor") from error
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # it would tell of each task that was not finished
        raise
    finally:
        if client.km is not None and client.km.has_kernel:
            run_sync(client.km.shutdown_kernel)(now=True)
    return client.stopped
