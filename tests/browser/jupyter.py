"""What a learner does in JupyterLab, as functions: open a notebook, run its cells, save it."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import nbformat
from playwright.sync_api import Locator, Page, expect

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "artifacts" / "browser"
RAN = re.compile(r"\[\d+\]:")  # the number at the left of a cell
FAILED = "[data-mime-type='application/vnd.jupyter.error']"
PATIENCE = 180_000  # ms: only what hangs takes so long, also on a busy machine


def wait_until(done: Callable[[], object], what: str, patience: int = PATIENCE) -> None:
    """Ask ``done()`` until it says yes; what: named in the error when it never does, within ``patience`` ms."""
    end = time.monotonic() + patience / 1000
    while not done():
        assert time.monotonic() < end, f"waited {patience / 1000:.0f} s for {what}"
        time.sleep(0.1)


@dataclass(frozen=True)
class Server:
    """A running JupyterLab.

    Attributes:
        url, token: where it is, and what opens it.
        folder: what it serves.
        log: the file with all that it and its kernels print.
    """

    url: str
    token: str
    folder: Path
    log: Path

    def ask(self, path: str):
        """The server's answer to a question about itself."""
        with urlopen(f"{self.url}/api/{path}?token={self.token}", timeout=10) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            return bool(self.ask("status"))
        except OSError:
            return False

    def ready(self, path: str) -> bool:
        """Whether the kernel of a notebook is idle and the page is connected to it."""
        kernels = [one["kernel"] for one in self.ask("sessions") if one["path"] == path]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def ended(self, path: str) -> bool:
        """Whether no kernel runs for a notebook any more."""
        return all(one["path"] != path for one in self.ask("sessions"))


class Notebook:
    """A notebook in a page.

    Args:
        page: of the browser.
        server: that serves it.
        path: of the notebook, from the server's folder.
    """

    def __init__(self, page: Page, server: Server, path: str):
        self.page, self.server, self.path, self.name = page, server, path, Path(path).stem
        page.goto(f"{server.url}/doc/tree/{path}?token={server.token}")
        self.cells, self.seen = page.locator(".jp-Notebook .jp-CodeCell"), len(server.log.read_bytes())
        expect(self.cells.first).to_be_visible()
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Wait until the kernel is idle."""
        wait_until(lambda: self.server.ready(self.path), "a kernel")

    def menu(self, name: str, item: str) -> None:
        """Choose an item of the menu bar."""
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def cell(self, text: str) -> Locator:
        """The code cell with this text in its source."""
        return self.cells.filter(has=self.page.locator(".jp-InputArea-editor", has_text=text))

    def select(self, cell: Locator) -> None:
        """Go to a cell, as a click at its left does."""
        cell.locator(".jp-InputPrompt").click()

    def replace_line(self, cell: Locator, line: str, code: str) -> None:
        """Type ``code`` over a line of a cell, key by key."""
        cell.locator(".cm-line", has_text=line).click()
        for key in ("Home", "Shift+End"):
            self.page.keyboard.press(key)
        self.page.keyboard.type(code)

    def log(self) -> str:
        """What the server and its kernels have printed since this notebook was opened."""
        return self.server.log.read_bytes()[self.seen :].decode(errors="replace")

    def tab_to(self, control: Locator) -> None:
        """Reach a control with the keyboard alone, from the cell that shows it or from another of its controls."""
        for key in ["Tab"] * 12 + ["Shift+Tab"] * 24:
            if control.evaluate("one => one === document.activeElement"):
                return
            self.page.keyboard.press(key)
        raise AssertionError("the Tab key does not reach it")

    def run(self, cell: Locator) -> None:
        """Run one cell and wait for it."""
        self.select(cell)
        self.page.keyboard.press("Control+Enter")
        expect(cell.locator(".jp-InputPrompt")).to_have_text(RAN)

    def run_all(self) -> None:
        """Run all cells, until the last one has run or one has failed."""
        self.menu("Edit", "Clear Outputs of All Cells")
        self.menu("Run", "Run All Cells")
        for cell in self.cells.all():
            ran = cell.locator(".jp-InputPrompt", has_text=RAN)
            expect(ran.or_(self.page.locator(FAILED))).not_to_have_count(0)

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook, and read what was saved."""
        file = self.server.folder / self.path
        before = file.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        whole = b"}\n"  # it can be seen half written
        wait_until(lambda: file.stat().st_mtime_ns > before and file.read_bytes().endswith(whole), "the notebook to be saved")
        return nbformat.read(file, 4)
